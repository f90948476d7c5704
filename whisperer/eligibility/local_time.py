"""Read the wall clock where a user is.

Decides what a zone's clock shows at an instant, and which instant first shows a given time. Instants are int ms UTC,
wall times are naive datetimes. "" and names that are not in the IANA database are UTC, so that a bad zone drops nobody.
Results depend only on the arguments and the database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from whisperer.events.place import KNOWN_ZONES

MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1_024)
def zone_of(name: str) -> tzinfo:
    """Return the zone of an IANA name, UTC if it is not known."""
    return ZoneInfo(name) if name in KNOWN_ZONES else UTC


def wall_at(at: int, zone: str) -> datetime:
    """Return what the clock in ``zone`` shows at ``at`` (ms UTC).

    >>> wall_at(0, "Europe/Berlin"), wall_at(0, "Mars/Phobos")
    (datetime.datetime(1970, 1, 1, 1, 0), datetime.datetime(1970, 1, 1, 0, 0))
    """
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)


def offset_ms(at: int, zone: str) -> int:
    """Return how far the clock in ``zone`` is ahead of UTC at ``at`` (ms UTC), in ms."""
    offset = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone_of(zone)).utcoffset()
    assert offset is not None
    return offset // MS


def first_instant(wall: datetime, zone: str) -> int:
    """Return the first instant (ms UTC) at which the clock in ``zone`` has reached ``wall``.

    If the clock jumps forward over ``wall``, that is the moment of the jump; if it is put back and shows ``wall``
    twice, the first time.
    """
    aware = wall.replace(tzinfo=zone_of(zone), fold=0)
    early, late = (aware - _EPOCH) // MS, (aware.replace(fold=1) - _EPOCH) // MS
    # PEP 495: in a gap, fold=0 counts with the offset before the jump and fold=1 with the one after it.
    return early if early <= late else transition(late, early, zone)


def transition(after: int, until: int, zone: str) -> int:
    """Return the first instant in (after, until] whose offset differs from ``after``'s, as ``until``'s must."""
    offset = offset_ms(after, zone)
    while until - after > 1:
        middle = (after + until) // 2
        if offset_ms(middle, zone) == offset:
            after = middle
        else:
            until = middle
    return until
