"""Lift by day: the document of `GET /v1/campaigns/{name}/report/days`, read from the warehouse and kept for a minute.

Every open page of a campaign asks repeatedly. The warehouse is queried once a minute per campaign, as a job
(:mod:`actors.jobs`): those who ask meanwhile share the answer, and a request for another campaign does not wait for it.
What was acknowledged in the last seconds is not in the warehouse yet, and none of it is final.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from actors.jobs import DaysOfLift, Jobs
from cluster.control_plane import ControlPlane
from cluster.times import iso
from whisperer.evaluation.daily import DailyLook, looks
from whisperer.evaluation.lift import GroupTally, NotYet
from whisperer.evaluation.sequential import AnytimeLift
from whisperer.ids import TenantId
from whisperer.shard.records import Experiment
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import DAY_MS

KEPT_S = 60.0
MOST_KEPT = 256
MOST_KEPT_OF_ONE = 16


class LiftDays:
    """The lift of campaigns by day. Use from one event loop. ``warehouse``: its URI."""

    def __init__(
        self,
        plane: ControlPlane,
        jobs: Jobs,
        warehouse: str,
        clock: Callable[[], int] = lambda: time.time_ns() // 10**6,
    ) -> None:
        self._plane = plane
        self._jobs = jobs
        self._warehouse = warehouse
        self._clock = clock
        self._asking: dict[tuple[str, str], asyncio.Lock] = {}
        """One lock per campaign that is being asked for now."""
        self._kept: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}

    async def show(self, tenant: TenantId, name: str) -> dict[str, Any]:
        """Return a campaign's lift by day. Raises NotFoundError if there is no such campaign, and what :class:`Jobs`
        raises."""
        place = tenant, name
        lock = self._asking.setdefault(place, asyncio.Lock())
        try:
            async with lock:
                now = self._clock()
                kept = self._kept.get(place)
                if kept is None or now - kept[0] >= KEPT_S * 1000:
                    kept = now, await self._made(tenant, name, now)
                    self._keep(place, kept)
                return kept[1]
        finally:
            if not lock.locked() and self._asking.get(place) is lock:
                del self._asking[place]

    def _keep(self, place: tuple[str, str], kept: tuple[int, dict[str, Any]]) -> None:
        """Keep an answer. A tenant keeps at most :data:`MOST_KEPT_OF_ONE`, so that its campaigns do not displace
        others'."""
        self._kept.pop(place, None)
        mine = [one for one in self._kept if one[0] == place[0]]
        for oldest in mine[: max(0, len(mine) + 1 - MOST_KEPT_OF_ONE)]:
            del self._kept[oldest]
        self._kept[place] = kept
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))

    async def _made(self, tenant: TenantId, name: str, now: int) -> dict[str, Any]:
        row = await asyncio.to_thread(self._plane.get_campaign, tenant, name)
        experiment = await asyncio.to_thread(self._plane.experiment, tenant)
        answer = await self._jobs.ask(DaysOfLift(self._warehouse, tenant, row.definition, now))
        rows, conflicted = msgspec.msgpack.decode(answer)
        days = [(day, group, GroupTally(*map(int, tally))) for day, group, *tally in rows]
        return document(name, row.campaign.goal.window_s, looks(days, shares_of(experiment)), conflicted, now)


def shares_of(experiment: Experiment) -> dict[str, float]:
    """Return the current share of each group."""
    shares: dict[str, float] = {Group.HOLDOUT: experiment.holdout, Group.UNIFORM: experiment.uniform}
    return {**shares, Group.POLICY: max(0.0, 1 - sum(shares.values()))}


def document(name: str, window_s: float, found: list[DailyLook], conflicted: int, now: int) -> dict[str, Any]:
    """Return the document. ``data`` has the oldest day first; each look's ``groups`` are users and goal totals up to
    that day."""
    return {
        "name": name,
        "as_of": iso(now),
        "window_s": window_s,
        "conflicted_users": conflicted,
        "data": [
            {
                "day": str(iso(look.day * DAY_MS))[:10],
                "groups": [
                    {
                        "group": group,
                        "joined": look.joined[group].users if group in look.joined else 0,
                        "users": look.so_far[group].users,
                        "mean": look.so_far[group].mean,
                    }
                    for group in GROUPS
                    if group in look.so_far
                ],
                "lift": _shown(look.lift),
                "uniform_lift": _shown(look.uniform_lift),
                "over_uniform": _shown(look.over_uniform),
                "sample_ratio": {"p_value": look.ratio_p, "suspicious": look.suspicious},
            }
            for look in found
        ],
    }


def _shown(lift: AnytimeLift | NotYet) -> dict[str, Any]:
    if isinstance(lift, NotYet):
        return {"not_yet": lift.detail, "reason": lift.reason}
    return {
        "difference": lift.difference,
        "low": lift.low,
        "high": lift.high,
        "level": lift.level,
        "decided": lift.decided,
    }
