"""Define the result of a simulation. Field order is the order of the JSON.

It is stored with ``Moment`` int, ms UTC, and shown to callers with ISO 8601.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from whisperer.simulation.checks import Item

Moment = TypeVar("Moment", int, str)


class Reach(msgspec.Struct):
    """Count the users that the campaign considered, found eligible and would have sent to."""

    considered: int
    eligible: int
    reached: int


class ArmResult(msgspec.Struct, kw_only=True):
    """Say what became of one arm; ``refused``: candidates for whom it was not to be had, by reason."""

    arm: str
    channel: str | None
    decisions: int
    sent: int
    spent: float
    refused: dict[str, int]


class DayResult(msgspec.Struct, Generic[Moment], kw_only=True):
    """Count one day's candidates; ``spent`` in the goal's unit."""

    day: Moment
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    pending: int
    spent: float


class WindowResult(msgspec.Struct, Generic[Moment], kw_only=True):
    """Show one window of the campaign's budget, scaled to all users, with its last price.

    ``withheld``: decisions for which too little was left.
    """

    begins_at: Moment
    ends_at: Moment
    price: float
    amount: float
    spent: float
    withheld: float


class BudgetResult(msgspec.Struct, Generic[Moment], kw_only=True):
    """Say what was spent, scaled to all users, and which share of the amount that may be spent; ``price`` is a mean."""

    amount: float | None
    spent: float
    used: float | None
    windows: list[WindowResult[Moment]]
    price: float


class IntervalResult(msgspec.Struct):
    """Give a value with its interval; an infinite end is None."""

    value: float | None
    low: float | None
    high: float | None


class ValueResult(msgspec.Struct, kw_only=True):
    """Say what the policy is worth, in the goal's unit, or why that cannot be said.

    Attributes
    ----------
    not_estimated, reason : why not, in words and as a code; everything else is then absent, and these two otherwise
    estimates : by estimator
    source : the campaign whose log was used, of so many ``decisions``, worth ``effective`` of the policy's own
    """

    not_estimated: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    per_decision: IntervalResult | msgspec.UnsetType = msgspec.UNSET
    over_no_send: IntervalResult | msgspec.UnsetType | None = msgspec.UNSET
    total: IntervalResult | msgspec.UnsetType = msgspec.UNSET
    estimates: dict[str, IntervalResult] | msgspec.UnsetType = msgspec.UNSET
    source: str | msgspec.UnsetType = msgspec.UNSET
    decisions: int | msgspec.UnsetType = msgspec.UNSET
    effective: float | msgspec.UnsetType = msgspec.UNSET
    caveats: list[str] | msgspec.UnsetType = msgspec.UNSET


class SimulationResult(msgspec.Struct, Generic[Moment], kw_only=True):
    """Say what a campaign would have done.

    Attributes
    ----------
    share : of all users, that were replayed
    groups : users by the experiment's group
    """

    campaign: str
    version: int
    policy: str
    since: Moment
    until: Moment
    share: float
    events: int
    users: int
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    pending: int
    spent: float
    reach: Reach
    groups: dict[str, int]
    arms: list[ArmResult]
    days: list[DayResult[Moment]]
    budget: BudgetResult[Moment]
    value: ValueResult
    checklist: list[Item]
    caveats: list[str]
