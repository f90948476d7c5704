"""Compute for the launch checklist whether a holdout can ever show a lift, and what clock changes do to a schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from whisperer.eligibility.local_time import MS, offset_ms, transition, wall_at
from whisperer.evaluation.lift import GroupTally, adjusted_mean, typical
from whisperer.evaluation.sequential import TUNED_FOR_USERS, anytime_quantile
from whisperer.journeys.campaign import USER_ZONE, OnSchedule
from whisperer.journeys.schedule import Schedule
from whisperer.vocabulary.units import DAY_MS

POWER = 0.8
DAYS_AHEAD = 400
MOST_ZONES = 50
_EPOCH = wall_at(0, "")


@dataclass(frozen=True, slots=True)
class Power:
    """What the holdout can show.

    Attributes
    ----------
    smallest : difference per user, in the goal's unit, that 4 of 5 experiments as long as the simulated days find
    days : until ``wanted`` is found that often, with users joining at the pace of the simulated days; None for never
    """

    holdout_users: float
    treated_users: float
    base_mean: float
    wanted: float
    smallest: float | None
    days: float | None


def power(
    everyone: GroupTally, days: float, holdout: float, treated: float, wanted: float | None, scale: float
) -> Power:
    """Compute the power of policy against holdout, with a look every day (:mod:`whisperer.evaluation.sequential`).

    Parameters
    ----------
    everyone : users who would have been decided on, with what they did anyway
    days : number of days in which they joined
    holdout, treated : shares of users in the two groups
    wanted : difference per user; None for a tenth of what users do anyway
    scale : number of users that each of ``everyone`` stands for

    References
    ----------
    Lehr, Statistics in Medicine 1992 (the normal approximation), with the anytime quantile in place of the normal's.
    """
    base, squared_error = adjusted_mean(everyone, typical(everyone))
    wanted = wanted if wanted is not None else abs(base) / 10
    users = everyone.users * scale
    if not users or not holdout or not treated or not wanted:
        return Power(users * holdout, users * treated, base, wanted, None, None)
    variance = squared_error * (everyone.users + 2)

    def smallest(n: float) -> float:
        spread = math.sqrt(variance * (1 / (n * holdout) + 1 / (n * treated)))
        z = anytime_quantile(max(1, round(n * (holdout + treated))), 0.95, TUNED_FOR_USERS)
        return (z + NormalDist().inv_cdf(POWER)) * spread

    low, high = 0.0, users * 100 * 365 / days
    needed = None
    if smallest(high) <= wanted:
        while high - low > max(1.0, low / 1000):
            middle = (low + high) / 2
            low, high = (low, middle) if smallest(middle) <= wanted else (middle, high)
        needed = high * days / users
    return Power(users * holdout, users * treated, base, wanted, smallest(users), needed)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A scheduled time that a clock leaves out (``skipped``) or shows twice; ``wall`` is ISO 8601, local."""

    zone: str
    wall: str
    skipped: bool


def clock_changes(trigger: OnSchedule, zones: Sequence[str], after: int) -> list[ClockChange]:
    """Return what clock changes within :data:`DAYS_AHEAD` days do to a schedule, zone by zone.

    ``zones`` are the users'; only the first :data:`MOST_ZONES` are examined.
    """
    schedule = Schedule(trigger.cron)
    looked_at = list(zones)[:MOST_ZONES] if trigger.zone == USER_ZONE else [trigger.zone]
    found = []
    for zone in looked_at:
        for day in range(DAYS_AHEAD):
            start = after + day * DAY_MS
            before, later = offset_ms(start, zone), offset_ms(start + DAY_MS, zone)
            if before == later:
                continue
            at = transition(start, start + DAY_MS, zone)
            first, last = sorted((at + before, at + later))
            # Wall times in [first, last) are skipped or shown twice; on a clock without changes they are instants.
            named = schedule.next_after(first - 1, "")
            if named < last:
                wall = (_EPOCH + named * MS).isoformat(" ", "minutes")
                found.append(ClockChange(zone or "UTC", wall, later > before))
    return found
