"""Whether it is quiet time where a user is, and until when.

Quiet is what the wall clock says: a minute of the day in [from, until), which may pass midnight. It follows that a
clock put forward over the end makes the quiet end at the jump, and that minutes which a clock put back shows twice are
judged twice alike: quiet until 02:30 ends at the first 02:30, and is there again when 03:00 becomes 02:00. Where both
ends are the same minute of the day there is no quiet.
"""

from __future__ import annotations

from datetime import datetime

from whisperer.eligibility.local_time import DAY_MS, MINUTE_MS, offset_ms, transition, wall_at
from whisperer.eligibility.rules import QuietHours

_DAY_MIN = 1_440


def is_quiet(quiet: QuietHours, now: int, zone: str) -> bool:
    """``zone`` is the user's, "" or unknown for UTC."""
    start, end = quiet.from_min % _DAY_MIN, quiet.until_min % _DAY_MIN
    minute = _minute(wall_at(now, zone))
    if start <= end:
        return start <= minute < end
    return minute >= start or minute < end


def quiet_until(quiet: QuietHours, now: int, zone: str) -> int:
    """The first instant (ms UTC) from ``now`` on that is not quiet; ``now`` itself if it is not."""
    at = now
    while is_quiet(quiet, at, zone):
        offset = offset_ms(at, zone)
        into_day = (at + offset) % DAY_MS
        end = at + (quiet.until_min * MINUTE_MS - into_day - 1) % DAY_MS + 1
        # Each round ends at the quiet's end or at a change of the clock before it; clocks change far less than daily.
        at = end if offset_ms(end, zone) == offset else transition(at, end, zone)
    return at


def _minute(wall: datetime) -> int:
    return wall.hour * 60 + wall.minute
