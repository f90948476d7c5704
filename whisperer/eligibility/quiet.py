"""Decide whether it is quiet time where a user is, and until when.

The wall clock decides: it is quiet at a minute of the day in [from, until), which may pass midnight. So when a clock
jumps forward over the end, quiet time ends at the jump, and minutes shown twice by a clock put back are judged alike
both times: quiet until 02:30 ends at the first 02:30 and starts again when 03:00 becomes 02:00. If both ends are the
same minute of the day, there is no quiet time.
"""

from __future__ import annotations

from datetime import datetime

from whisperer.eligibility.local_time import offset_ms, transition, wall_at
from whisperer.eligibility.rules import QuietHours
from whisperer.vocabulary.units import DAY_MS, MINUTE_MS

_DAY_MIN = 1_440


def is_quiet(quiet: QuietHours, now: int, zone: str) -> bool:
    """Return whether it is quiet at ``now`` (ms UTC); ``zone`` is the user's, "" or unknown for UTC."""
    start, end = quiet.from_min % _DAY_MIN, quiet.until_min % _DAY_MIN
    minute = _minute(wall_at(now, zone))
    if start <= end:
        return start <= minute < end
    return minute >= start or minute < end


def quiet_until(quiet: QuietHours, now: int, zone: str) -> int:
    """Return the first instant (ms UTC) from ``now`` on that is not quiet, which may be ``now`` itself."""
    at = now
    while is_quiet(quiet, at, zone):
        offset = offset_ms(at, zone)
        into_day = (at + offset) % DAY_MS
        end = at + (quiet.until_min * MINUTE_MS - into_day - 1) % DAY_MS + 1
        # Each round ends at the end of quiet time or at an earlier clock change; these are much rarer than daily.
        at = end if offset_ms(end, zone) == offset else transition(at, end, zone)
    return at


def _minute(wall: datetime) -> int:
    return wall.hour * 60 + wall.minute
