"""Define what a template sees of a user's latest events: their names, times and properties, newest first.

Whoever shows or sends a message takes them from the events that a shard has in memory, by the same bounds, so that a
preview has what the message would have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

MOST_RECENT = 20
MAX_PROPERTIES_BYTES = 4 << 10
"""Of one event's JSON as it was sent; a longer one is left out."""
MAX_BYTES = 24 << 10
"""Of all of them together; the oldest are left out."""


class RecentEvent(NamedTuple):
    """An event: its name, when it happened (ms UTC), its properties as JSON, b"" for none."""

    name: str
    at: int
    properties: bytes


class _Payload(msgspec.Struct):
    properties: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Payload).decode


def bounded(events: Iterable[tuple[str, int, bytes]]) -> list[RecentEvent]:
    """Return the events of (name, time, JSON as the client sent it), newest first, within the bounds above."""
    found: list[RecentEvent] = []
    n_bytes = 0
    for name, at, payload in events:
        if len(payload) > MAX_PROPERTIES_BYTES:
            continue
        try:
            properties = bytes(_decode(payload).properties)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            continue
        n_bytes += len(properties) + len(name)
        if len(found) == MOST_RECENT or n_bytes > MAX_BYTES:
            break
        found.append(RecentEvent(name, at, properties))
    return found


class ByName(dict[str, list[Any]]):
    """Event name -> the properties of the user's latest such events, newest first; none of one that never came."""

    def __missing__(self, name: str) -> list[Any]:
        return []

    def __contains__(self, name: object) -> bool:
        return True
