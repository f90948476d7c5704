"""Decide when a scheduled campaign fires: five cron fields on the wall clock of a zone.

The fields are read by cronsim: minute, hour, day of month, month, day of week, with lists, ranges, steps, names
(``MON``, ``JAN``), ``L`` and ``LW`` (last day, last weekday of the month), ``5L`` and ``MON#2`` (last Friday, second
Monday). If both day fields are restricted, either may match, as in Debian's cron.

When the clock changes, Debian's rule applies. A schedule with a **fixed time** (neither minute nor hour begins with
``*``) fires once for every time it names: a time skipped by a jump forward fires at the jump, together with any others
it skips; a time that is shown twice fires the first time. A schedule with a **wildcard** (``*/15 * * * *``) fires
whenever the clock shows a matching minute: not at all for skipped minutes, twice for those shown twice. cronsim's own
handling is not used: in the repeated hour it returns instants before the one asked about, and it misses minutes where
clocks change by half an hour.

``Schedule`` and :func:`due_zones` read no clock; the zone database is the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from whisperer.eligibility.local_time import MS, first_instant, offset_ms, transition, wall_at
from whisperer.errors import InvariantError
from whisperer.journeys.campaign import USER_ZONE
from whisperer.vocabulary.units import DAY_MS

MAX_CRON_CHARS = 100
MAX_MISSED = 8
"""Missed instants reported per zone, the newest ones; older ones are not reported."""

_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_EPOCH = datetime(1970, 1, 1)
_SEARCH_FROM = datetime(2000, 1, 1)
_SECOND = timedelta(seconds=1)


def validate(cron: str) -> None:
    """Check a cron expression.

    Raises ValueError, with a sentence for its author, if it is not five cron fields or can never fire.
    """
    _parsed(cron)


class Schedule:
    """Compute the instants of one cron expression. Raises ValueError as :func:`validate` does.

    >>> Schedule("0 9 * * MON").next_after(0, "Europe/Berlin") == (4 * 24 + 8) * 3_600_000
    True
    """

    __slots__ = ("_is_fixed", "_parsed", "cron")

    def __init__(self, cron: str) -> None:
        self.cron = cron
        self._parsed = _parsed(cron)
        minute, hour = cron.split()[:2]
        self._is_fixed = not (minute.startswith("*") or hour.startswith("*"))

    def next_after(self, after_ms: int, zone: str) -> int:
        """Return the first instant (ms UTC) strictly after; ``zone`` is an IANA name, "" or an unknown one is UTC."""
        return self._next_named(after_ms, zone) if self._is_fixed else self._next_shown(after_ms, zone)

    def _next_named(self, after: int, zone: str) -> int:
        wall = wall_at(after, zone)
        while True:
            wall = self._next_wall(wall)
            # In the second showing of a repeated hour, the clock's next times have fired already.
            if (at := first_instant(wall, zone)) > after:
                return at

    def _next_shown(self, after: int, zone: str) -> int:
        at, wall = after, wall_at(after, zone)
        while True:
            offset = offset_ms(at, zone)
            found = (self._next_wall(wall) - _EPOCH) // MS - offset
            horizon = min(found, at + 2 * DAY_MS)
            if offset_ms(horizon, zone) != offset:  # the clock changes before: continue from there, inclusive
                at = transition(at, horizon, zone)
                wall = wall_at(at, zone) - _SECOND
            elif horizon == found:
                return found
            else:  # skip ahead, but not the last two days: no clock changes by as much as that
                at = found - 2 * DAY_MS
                wall = wall_at(at, zone)

    def _next_wall(self, after: datetime) -> datetime:
        """Return the first matching wall time strictly after another."""
        search = copy(self._parsed)
        search.dt = after.replace(microsecond=0)
        try:
            return next(search)
        except StopIteration:
            raise InvariantError(f"the schedule {self.cron!r} was checked and yet ends") from None


@dataclass(frozen=True, slots=True)
class Firing:
    """Name an instant (ms UTC) that has come, for users of ``zone`` as it was given, or for everyone if None.

    ``misfired``: too late, or overtaken by a newer instant; its candidates are refused.
    """

    zone: str | None
    instant: int
    misfired: bool


def due_zones(
    schedule: Schedule, zone_setting: str, zones: Sequence[str], last: Mapping[str, int], now: int, grace_ms: int
) -> list[Firing]:
    """Return the firings due in (last, now], in the order of ``zones`` and, within a zone, by time.

    Only the newest instant of each zone can fire, if it is at most ``grace_ms`` old. All before it are misfired, of
    which up to MAX_MISSED are reported: after an outage nobody is considered twice at once, and misses are accounted
    for.

    Parameters
    ----------
    zone_setting : the trigger's: ``user`` for each of ``zones`` separately, else one zone for all
    zones : the users' zones; "" and unknown ones are UTC, but kept apart
    last : zone -> the last instant that fired, or after which the schedule applies; with one zone for all, the key is
        "". A zone without an entry has just appeared: what is within the grace period fires
    now : ms UTC
    """
    by_user = zone_setting == USER_ZONE
    firings = []
    for zone in dict.fromkeys(zones) if by_user else [""]:
        since = last.get(zone, now - grace_ms - 1)
        instants = _newest(schedule, since, now, zone if by_user else zone_setting)
        for instant in instants:
            misfired = instant != instants[-1] or now - instant > grace_ms
            firings.append(Firing(zone if by_user else None, instant, misfired))
    return firings


def _newest(schedule: Schedule, since: int, now: int, zone: str) -> list[int]:
    """Return the newest instants in (since, now], at most 1 + MAX_MISSED, oldest first."""
    low, high = since, now
    found = _oldest(schedule, low, now, zone)
    while len(found) > 1 + MAX_MISSED:  # from `low` there are too many, from `high` too few
        middle = (low + high) // 2
        later = _oldest(schedule, middle, now, zone)
        if len(later) > MAX_MISSED:
            low, found = middle, later
        else:
            high = middle
    return found


def _oldest(schedule: Schedule, since: int, now: int, zone: str) -> list[int]:
    """Return the oldest instants in (since, now], at most 2 + MAX_MISSED."""
    found: list[int] = []
    while len(found) < 2 + MAX_MISSED and (since := schedule.next_after(since, zone)) <= now:
        found.append(since)
    return found


def _parsed(cron: str) -> CronSim:
    if len(cron) > MAX_CRON_CHARS:
        raise ValueError(f"a schedule has at most {MAX_CRON_CHARS} characters, this one has {len(cron):,}")
    parts = cron.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"a schedule has five fields ({', '.join(_FIELDS)}), this one has {len(parts)}")
    try:
        parsed = CronSim(cron, _SEARCH_FROM)
        next(copy(parsed))
    except StopIteration:
        raise ValueError(f"the schedule {cron!r} never fires") from None
    except CronSimError as error:
        bad = str(error).removeprefix("Bad ")
        if bad == "day-of-month" and _reads([*parts[:3], "*", *parts[4:]]):
            raise ValueError(f"the schedule {cron!r} never fires: no such month has that day") from None
        raise ValueError(
            f"the {bad} of the schedule {cron!r} cannot be read; write numbers, lists, ranges or steps, as in "
            "9 or 1,15 or 1-5 or */15"
        ) from None
    return parsed


def _reads(parts: Sequence[str]) -> bool:
    try:
        CronSim(" ".join(parts), _SEARCH_FROM)
    except CronSimError:
        return False
    return True
