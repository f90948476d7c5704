"""Simulations."""

from __future__ import annotations

import msgspec


class Progress(msgspec.Struct):
    events: int
    of: int


class Reach(msgspec.Struct):
    considered: int
    eligible: int
    reached: int


class SimulatedArm(msgspec.Struct):
    arm: str
    channel: str | None
    decisions: int
    sent: int
    spent: float
    refused: dict[str, int]


class SimulatedWindow(msgspec.Struct):
    begins_at: str
    ends_at: str
    amount: float
    spent: float
    price: float
    withheld: float


class Cost(msgspec.Struct):
    amount: float | None
    spent: float
    used: float | None
    windows: list[SimulatedWindow]


class Interval(msgspec.Struct, frozen=True):
    value: float = 0.0
    low: float | None = None
    high: float | None = None


class Worth(msgspec.Struct):
    """A policy's value, or with ``not_estimated`` why there is none; the other fields then have no meaning."""

    not_estimated: str | None = None
    per_decision: Interval = Interval()
    over_no_send: Interval | None = None
    total: Interval = Interval()
    source: str = ""
    decisions: int = 0
    effective: float = 0.0
    caveats: list[str] = []


class Check(msgspec.Struct):
    level: str
    code: str
    sentence: str
    advice: str


class Simulated(msgspec.Struct):
    campaign: str
    policy: str
    since: str
    until: str
    share: float
    events: int
    users: int
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    reach: Reach
    arms: list[SimulatedArm]
    budget: Cost
    value: Worth
    checklist: list[Check]
    caveats: list[str]


class Simulation(msgspec.Struct):
    """``result`` is None until it is done, and where it failed."""

    id: str
    campaign: str
    status: str
    progress: Progress
    error: str | None = None
    result: Simulated | None = None
