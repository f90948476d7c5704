"""Lift by day: the document of `GET /v1/campaigns/{name}/report/days`, read from the warehouse and kept for a minute.

The warehouse is queried once a minute per campaign, as a job (:mod:`actors.jobs`). What was acknowledged in the last
seconds is not in the warehouse yet, and none of it is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from actors.jobs import DaysOfLift, Jobs, read_days
from cluster.control_plane import ControlPlane
from cluster.times import iso
from serve_apps.gateway.services.kept import Kept, now_ms
from serve_apps.gateway.services.report import NotYetDocument
from whisperer.evaluation.daily import DailyLook, looks
from whisperer.evaluation.lift import NotYet
from whisperer.evaluation.sequential import AnytimeLift
from whisperer.ids import TenantId
from whisperer.shard.records import Experiment
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import DAY_MS


class AnytimeDocument(msgspec.Struct, kw_only=True):
    """See :class:`whisperer.evaluation.sequential.AnytimeLift`."""

    difference: float
    low: float
    high: float
    level: float
    decided: bool


AnyLook = AnytimeDocument | NotYetDocument


class GroupLook(msgspec.Struct):
    """Users whose window closed that day (``joined``) and up to that day, and their goal per user."""

    group: str
    joined: int
    users: int
    mean: float


class RatioLook(msgspec.Struct):
    """Whether group sizes match their shares, over all looks so far."""

    p_value: float
    suspicious: bool


class DayDocument(msgspec.Struct, kw_only=True):
    """One day's look; ``over_uniform`` is policy over uniform, the others are over the holdout."""

    day: str
    groups: list[GroupLook]
    lift: AnyLook
    uniform_lift: AnyLook
    over_uniform: AnyLook
    sample_ratio: RatioLook


class LiftDaysDocument(msgspec.Struct, kw_only=True):
    """A campaign's lift by day; ``data`` has the oldest day first."""

    name: str
    as_of: str | None
    window_s: float
    conflicted_users: int
    data: list[DayDocument]


class LiftDays:
    """The lift of campaigns by day. Use from one event loop. ``warehouse``: its URI."""

    def __init__(
        self,
        plane: ControlPlane,
        jobs: Jobs,
        warehouse: str,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._plane = plane
        self._jobs = jobs
        self._warehouse = warehouse
        self._kept: Kept[LiftDaysDocument] = Kept(clock)

    async def show(self, tenant: TenantId, name: str) -> LiftDaysDocument:
        """Return a campaign's lift by day. Raises NotFoundError if there is no such campaign, and what :class:`Jobs`
        raises."""
        return await self._kept.get(tenant, name, lambda now: self._made(tenant, name, now))

    async def _made(self, tenant: TenantId, name: str, now: int) -> LiftDaysDocument:
        row = await asyncio.to_thread(self._plane.get_campaign, tenant, name)
        experiment = await asyncio.to_thread(self._plane.experiment, tenant)
        answer = await self._jobs.ask(DaysOfLift(self._warehouse, tenant, row.definition, now))
        days, conflicted = read_days(answer)
        return document(name, row.campaign.goal.window_s, looks(days, shares_of(experiment)), conflicted, now)


def shares_of(experiment: Experiment) -> dict[str, float]:
    """Return the current share of each group."""
    shares: dict[str, float] = {Group.HOLDOUT: experiment.holdout, Group.UNIFORM: experiment.uniform}
    return {**shares, Group.POLICY: max(0.0, 1 - sum(shares.values()))}


def document(name: str, window_s: float, found: list[DailyLook], conflicted: int, now: int) -> LiftDaysDocument:
    """Return the document of these looks."""
    return LiftDaysDocument(
        name=name,
        as_of=iso(now),
        window_s=window_s,
        conflicted_users=conflicted,
        data=[
            DayDocument(
                day=str(iso(look.day * DAY_MS))[:10],
                groups=[
                    GroupLook(
                        group,
                        look.joined[group].users if group in look.joined else 0,
                        look.so_far[group].users,
                        look.so_far[group].mean,
                    )
                    for group in GROUPS
                    if group in look.so_far
                ],
                lift=_shown(look.lift),
                uniform_lift=_shown(look.uniform_lift),
                over_uniform=_shown(look.over_uniform),
                sample_ratio=RatioLook(look.ratio_p, look.suspicious),
            )
            for look in found
        ],
    )


def _shown(lift: AnytimeLift | NotYet) -> AnyLook:
    if isinstance(lift, NotYet):
        return NotYetDocument(lift.detail, lift.reason)
    return AnytimeDocument(
        difference=lift.difference, low=lift.low, high=lift.high, level=lift.level, decided=lift.decided
    )
