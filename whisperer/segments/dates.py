"""Convert ISO 8601 text to an exact instant.

Decides which texts are dates: ``YYYY-MM-DD``, optionally with ``HH:MM[:SS[.fraction]]`` after ``T`` or a blank, and
``Z`` or an offset. Without an offset a time is UTC; a date alone is its midnight in UTC. Instants are integers, not
floats, so that two that are a nanosecond apart stay apart. ``datetime.fromisoformat`` is not used: what it accepts
differs by Python version.
"""

from __future__ import annotations

import re
from datetime import date

MAX_DATE_CHARS = 64
_NS = 1_000_000_000
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)


def instant_ns(text: str) -> int | None:
    """Return the nanoseconds since 1970-01-01T00:00Z (further digits are cut), or None if the text is not a date.

    >>> instant_ns("1970-01-02"), instant_ns("1970-01-01T01:00:00.5+01:00"), instant_ns("soon")
    (86400000000000, 500000000, None)
    """
    if len(text) > MAX_DATE_CHARS or (match := _ISO.fullmatch(text)) is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, off_hour, off_minute = match.groups(default="0")
    try:
        days = date(int(year), int(month), int(day)).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    if int(hour) > 23 or int(off_hour) > 23 or max(int(minute), int(second), int(off_minute)) > 59:
        return None
    offset_minutes = int(off_hour) * 60 + int(off_minute)
    minutes = days * 1_440 + int(hour) * 60 + int(minute) + (offset_minutes if sign == "-" else -offset_minutes)
    return (minutes * 60 + int(second)) * _NS + int(fraction[:9].ljust(9, "0"))
