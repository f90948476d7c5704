"""Campaigns, their reports and the quality of their messages."""

from __future__ import annotations

from typing import Any

import msgspec


class Counts(msgspec.Struct):
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]


class Campaign(msgspec.Struct):
    """``counts``: only of a running installation; ``definition`` is the caller's JSON."""

    name: str
    version: int
    status: str
    draft_version: int | None
    description: str
    definition: dict[str, Any]
    counts: Counts | None = None


class Lift(msgspec.Struct):
    """A lift, or with ``not_yet`` why there is none; the other fields then have no meaning."""

    not_yet: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    level: float = 0.0
    relative: float | None = None
    relative_reason: str | None = None
    users: int = 0
    holdout_users: int = 0


class SampleRatio(msgspec.Struct):
    p_value: float
    suspicious: bool


class Group(msgspec.Struct):
    group: str
    users: int
    mean: float | None


class Arm(msgspec.Struct):
    group: str
    arm: str
    decisions: int
    sent: int
    converted: int
    reward: float


class Window(msgspec.Struct):
    begins_at: str
    ends_at: str
    amount: float
    spent: float
    granted: float
    price: float
    withheld: int


class Report(msgspec.Struct, kw_only=True):
    name: str
    version: int
    status: str
    since: str | None
    description: str
    candidates: int
    sent: int
    unknown: int = 0
    no_send: int
    refused: dict[str, int]
    pending: int
    groups: list[Group]
    arms: list[Arm]
    budget: list[Window] | None
    lift: Lift
    uniform_lift: Lift
    sample_ratio: SampleRatio


class Look(msgspec.Struct):
    """A day's lift, or with ``not_yet`` why there is none; the other fields then have no meaning."""

    not_yet: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decided: bool = False


class UsersOfDay(msgspec.Struct):
    users: int


class Day(msgspec.Struct):
    day: str
    groups: list[UsersOfDay]
    lift: Look
    uniform_lift: Look
    over_uniform: Look
    sample_ratio: SampleRatio


class Days(msgspec.Struct):
    data: list[Day]


class Asked(msgspec.Struct):
    """What a saved report asks."""

    campaigns: list[str]
    metric: str
    period: dict[str, str | int] | None = None


class SavedReport(msgspec.Struct):
    name: str
    definition: Asked
    changed_at: str | None


class CampaignAnswer(msgspec.Struct):
    """One campaign's part of a saved report's answer: which fields it has depends on the metric."""

    campaign: str
    candidates: int = 0
    sent: int = 0
    no_send: int = 0
    pending: int = 0
    refused: dict[str, int] = {}
    lift: Lift = msgspec.field(default_factory=Lift)
    uniform_lift: Lift = msgspec.field(default_factory=Lift)
    days: list[Day] = []


class ReportAnswer(msgspec.Struct):
    name: str
    metric: str
    as_of: str | None
    data: list[CampaignAnswer]


class CriterionMark(msgspec.Struct):
    """A criterion's mean mark."""

    criterion: str
    mark: float


class ArmQuality(msgspec.Struct):
    """The scored messages of an arm in one language."""

    arm: str
    channel: str
    locale: str
    scored: int
    mean: float
    calibrated: float
    lowest: list[CriterionMark]


class CampaignQuality(msgspec.Struct):
    """A campaign's scored messages."""

    days: int
    scored: int
    mean: float | None
    calibrated: float | None
    arms: list[ArmQuality]
