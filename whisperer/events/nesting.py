"""Measure how deep a JSON text nests, without recursion and in O(n).

msgspec skips what it is not asked for, however deep, so depth is measured on the bytes. A cheap bound, sound but not
exact, settles almost every body: an event that nests 65 deep holds 65 opening brackets, so if no 65 consecutive openers
lie within the length of the longest event, none does. Only a body that fails this is scanned exactly.
"""

from __future__ import annotations

import numpy as np

MAX_NESTING = 64  # levels in an event, the event itself included
_ENVELOPE_LEVELS = 2  # the object and the array around a batch's events


def nests_too_deep(body: bytes, longest: int, *, is_batch: bool) -> bool:
    """Decide whether a well-formed JSON text nests deeper than an event may (in a batch, an event plus its envelope).

    ``longest``: bytes of the longest event, or of what surrounds the events if that is more.
    """
    folded = np.frombuffer(body, np.uint8) | 0x20  # maps [ to { and ] to }
    openers = np.flatnonzero(folded == 0x7B)
    if openers.size <= MAX_NESTING or int((openers[MAX_NESTING:] - openers[:-MAX_NESTING]).min()) >= longest:
        return False
    return depth(body) > MAX_NESTING + (_ENVELOPE_LEVELS if is_batch else 0)


def depth(body: bytes) -> int:
    """Return the deepest nesting of a well-formed JSON text; brackets inside strings do not count."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # every quote left delimits a string
    text = np.frombuffer(body, np.uint8)
    folded = text | 0x20
    marks = np.flatnonzero((text == 0x22) | (folded == 0x7B) | (folded == 0x7D))
    quotes = text[marks] == 0x22
    outside = np.cumsum(quotes) & 1 == 0
    steps = np.where(folded[marks] == 0x7B, 1, -1) * (outside & ~quotes)
    return int(np.cumsum(steps).max(initial=0))
