"""Merge a batch's own ``context`` and ``integrations`` into each of its events.

The merge is one level deep; for each key, the event wins. Values keep their bytes; an event is rebuilt only if the
batch has something to add, and then loses the spaces between members and its repeated keys, which carry no meaning.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from whisperer.events.wire import members_or_none

_encode = msgspec.json.Encoder().encode


def merger(context: dict[str, Raw] | None, integrations: dict[str, Raw] | None) -> Callable[[bytes | Raw], bytes | Raw]:
    """Return a function that merges these into one event's JSON and returns anything but an object unchanged."""
    shared = {name: part for name, part in (("context", context), ("integrations", integrations)) if part}
    if not shared:
        return _unchanged
    alone = {name: Raw(_object(part)) for name, part in shared.items()}

    def merge(event: bytes | Raw) -> bytes | Raw:
        members = members_or_none(event)
        if members is None:
            return event
        for name, part in shared.items():
            own = members.get(name)
            if own is None or bytes(own) == b"null":
                members[name] = alone[name]
            elif (own_members := members_or_none(own)) is not None:
                members[name] = Raw(_object(part | own_members))
        return _object(members)

    return merge


def _unchanged(event: bytes | Raw) -> bytes | Raw:
    return event


def _object(members: dict[str, Raw]) -> bytes:
    return b"{" + b",".join([_encode(name) + b":" + bytes(value) for name, value in members.items()]) + b"}"
