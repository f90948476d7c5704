"""Where an event belongs: one function from ids to user key and partition. No counters, no headers, no I/O."""

from __future__ import annotations

import math

from whisperer.events.types import EventType
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX, partition_of


def address(user_id: str | None, anonymous_id: str | None, seed: int) -> tuple[str, int]:
    """(user key, partition) of an event that has at least one of the ids; the userId wins."""
    key = KNOWN_PREFIX + user_id if user_id else ANONYMOUS_PREFIX + (anonymous_id or "")
    return key, partition_of(key, seed)


def link_of(kind: int, user_id: str | None, anonymous_id: str | None, previous_id: str | None) -> str | None:
    """The second user key an event ties to its own, or None.

    A known user's event that also carries an anonymousId ties that one. An alias ties its previousId and nothing else;
    aliasing a user to itself ties nothing.
    """
    if kind == EventType.ALIAS:
        return KNOWN_PREFIX + previous_id if previous_id and previous_id != user_id else None
    return ANONYMOUS_PREFIX + anonymous_id if user_id and anonymous_id else None


def id_text(number: int | float) -> str:
    """A numeric id as the string it stands for: 12, 12.0 and 1.2e1 are all "12", as JavaScript would write them.

    Integers keep every digit; other numbers take their shortest exact form.
    """
    if isinstance(number, float) and math.isfinite(number) and number == int(number) and abs(number) < 1e21:
        number = int(number)
    return str(number)
