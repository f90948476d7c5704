"""Divide time into hours, days, weeks and months of a time zone, the same in SQL and here.

A bucket has a number: of days, weeks (from Monday) and months since 1970 by the local calendar, or, of hours, the
moment in ms UTC at which the local clock showed its full hour, so that the hour that comes twice when clocks go back is
two buckets. Offsets come from the zone's rules and are written into the query as numbers, so both have one source.
"""

from __future__ import annotations

import bisect
import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from whisperer.eligibility.local_time import offset_ms
from whisperer.vocabulary.units import DAY_MS, HOUR_MS

Interval = Literal["hour", "day", "week", "month"]

SHORTEST_MS: dict[Interval, int] = {
    "hour": HOUR_MS,
    "day": 23 * HOUR_MS,
    "week": 7 * DAY_MS - HOUR_MS,
    "month": 28 * DAY_MS - HOUR_MS,
}
"""About the shortest that a bucket can be."""

_EPOCH = date(1970, 1, 1)
_TO_MONDAY = 3
"""1970-01-01 was a Thursday."""


class Calendar:
    """The calendar of a zone over [since, until), ms UTC."""

    def __init__(self, zone: str, since: int, until: int) -> None:
        self._name, self._zone = zone, ZoneInfo(zone)
        self.since, self.until = since, until
        self._starts, self._offsets = self._changes(since, until)

    def local_sql(self, moment: str) -> str:
        """Return the SQL of local time, ms since 1970 by the local clock, of an expression in ms UTC."""
        if len(self._offsets) == 1:
            return f"({moment} + {self._offsets[0]})"
        cases = " ".join(
            f"WHEN {moment} < {start} THEN {offset}"
            for start, offset in zip(self._starts[1:], self._offsets[:-1], strict=True)
        )
        return f"({moment} + CASE {cases} ELSE {self._offsets[-1]} END)"

    def bucket_sql(self, moment: str, interval: Interval) -> str:
        """Return the SQL of the number of the bucket that an expression in ms UTC lies in."""
        local = self.local_sql(moment)
        day = f"({local} // {DAY_MS})"
        if interval == "hour":
            return f"({moment} - {local} % {HOUR_MS})"
        if interval == "day":
            return day
        if interval == "week":
            return f"(({day} + {_TO_MONDAY}) // 7)"
        on = f"(DATE '1970-01-01' + {day}::INTEGER)"
        return f"((year({on}) - 1970) * 12 + month({on}) - 1)"

    def bucket(self, moment: int, interval: Interval) -> int:
        """Return the number of the bucket that a moment lies in."""
        local = moment + self._offsets[bisect.bisect_right(self._starts, moment) - 1]
        if interval == "hour":
            return moment - local % HOUR_MS
        return _of_day(local // DAY_MS, interval)

    def buckets(self, interval: Interval) -> list[int]:
        """Return the numbers of all buckets that touch the period, in order."""
        if self.since >= self.until:
            return []
        if interval != "hour":
            return list(range(self.bucket(self.since, interval), self.bucket(self.until - 1, interval) + 1))
        found: list[int] = []
        edges = [self.since, *self._starts[1:], self.until]
        for start, end in itertools.pairwise(edges):
            found.extend(range(self.bucket(start, interval), end, HOUR_MS))
        return sorted(set(found))

    def begins(self, bucket: int, interval: Interval) -> int:
        """Return the first moment of a bucket, ms UTC."""
        return bucket if interval == "hour" else midnight(date.fromisoformat(self.label(bucket, interval)), self._name)

    def label(self, bucket: int, interval: Interval) -> str:
        """Return a bucket's beginning as ISO 8601: a local date, or a local time with its offset."""
        if interval == "hour":
            return datetime.fromtimestamp(bucket / 1000, UTC).astimezone(self._zone).isoformat(timespec="minutes")
        if interval == "month":
            return f"{1970 + bucket // 12:04d}-{bucket % 12 + 1:02d}-01"
        return (_EPOCH + timedelta(days=bucket if interval == "day" else bucket * 7 - _TO_MONDAY)).isoformat()

    def _changes(self, since: int, until: int) -> tuple[list[int], list[int]]:
        """Return from when on which offset holds, both in ms; the first from before everything."""
        starts, offsets = [-(2**62)], [self._offset(since)]
        here = since
        while here < until:
            after = min(here + DAY_MS, until)
            if self._offset(after) != offsets[-1]:
                low, high = here, after
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self._offset(middle) == offsets[-1] else (low, middle)
                starts.append(high)
                offsets.append(self._offset(high))
                here = high
            else:
                here = after
        return starts, offsets

    def _offset(self, moment: int) -> int:
        return offset_ms(moment, self._name)


def midnight(day: date, zone: str) -> int:
    """Return the first moment of a local day, ms UTC; where clocks jump over midnight, the moment of the jump."""
    return round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def local_date(moment: int, zone: str) -> date:
    """Return the local day of a moment in ms UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone(ZoneInfo(zone)).date()


def _of_day(day: int, interval: Interval) -> int:
    if interval == "day":
        return day
    if interval == "week":
        return (day + _TO_MONDAY) // 7
    on = _EPOCH + timedelta(days=day)
    return (on.year - 1970) * 12 + on.month - 1
