"""Where an event belongs: from its ids to user key, partition and linked key. No counters, no headers, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from whisperer.events.types import EventType
from whisperer.events.wire import Scalar
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX, PARTITION_BITS

_PARTITION_SHIFT = 64 - PARTITION_BITS
_EXPONENT_FROM = 1e21  # where JavaScript begins to write an exponent


def address(
    user_ids: Sequence[str | None], anonymous_ids: Sequence[str | None], seed: int
) -> tuple[list[str], list[int]]:
    """(user keys, partitions) of events that each have at least one of the ids; the userId wins."""
    keys = [
        KNOWN_PREFIX + user_id if user_id else ANONYMOUS_PREFIX + (anonymous_id or "")
        for user_id, anonymous_id in zip(user_ids, anonymous_ids, strict=True)
    ]
    # ids.partition_of written out, being the cheaper so; a test holds the two together
    return keys, [xxh3_64_intdigest(key.encode(), seed) >> _PARTITION_SHIFT for key in keys]


def link_of(kind: int, user_id: str | None, anonymous_id: str | None, previous_id: Scalar) -> str | None:
    """The second user key an event ties to its own, or None.

    A known user's event that also carries an anonymousId ties that one. An alias ties its previousId and nothing else;
    aliasing a user to itself ties nothing.
    """
    if kind == EventType.ALIAS:
        previous = id_text(previous_id)
        return KNOWN_PREFIX + previous if previous and previous != user_id else None
    return ANONYMOUS_PREFIX + anonymous_id if user_id and anonymous_id else None


def id_text(given: Scalar) -> str | None:
    """An id as text. Numbers become what JavaScript would write: 12, 12.0 and 1.2e1 are all "12".

    Integers keep every digit; other numbers take their shortest exact form.
    """
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, float) and given.is_integer() and abs(given) < _EXPONENT_FROM:
        given = int(given)
    return str(given)
