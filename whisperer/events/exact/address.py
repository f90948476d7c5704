"""Read ids from the wire, and find the second key that an event links to its own. No counters, no headers, no I/O."""

from __future__ import annotations

from whisperer.events.types import EventType
from whisperer.events.wire import Scalar
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX

_EXPONENT_FROM = 1e21  # from here on, JavaScript writes an exponent


def link_of(kind: int, user_id: str | None, anonymous_id: str | None, previous_id: Scalar) -> str | None:
    """Return the second user key that an event links to its own, or None.

    A known user's event that also carries an anonymousId links that id. An alias links its previousId and nothing else;
    aliasing a user to itself links nothing.
    """
    if kind == EventType.ALIAS:
        previous = id_text(previous_id)
        return KNOWN_PREFIX + previous if previous and previous != user_id else None
    return ANONYMOUS_PREFIX + anonymous_id if user_id and anonymous_id else None


def id_text(given: Scalar) -> str | None:
    """Return an id as text. Numbers become what JavaScript would write: 12, 12.0 and 1.2e1 are all "12".

    Integers keep every digit; other numbers take their shortest exact form.
    """
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, float) and given.is_integer() and abs(given) < _EXPONENT_FROM:
        given = int(given)
    return str(given)
