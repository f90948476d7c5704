"""Read the user's traits that a stored event states."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from whisperer.events.payload import decode_json
from whisperer.events.types import EventType
from whisperer.events.wire import decode_members, members_or_none

_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Context(msgspec.Struct, gc=False):
    traits: dict[str, Raw] | None = None


class _Traits(msgspec.Struct, gc=False):
    traits: dict[str, Raw] | None = None
    context: _Context | None = None


_decode_traits = msgspec.json.Decoder(_Traits).decode


def traits_of(payload: bytes | Raw, kind: int) -> dict[str, Raw]:
    """Return the user's traits that an admitted event states, each as JSON that msgspec can decode.

    Identify: ``context.traits`` overlaid by ``traits``. Any other kind: none; a group's traits are the group's.
    """
    if kind != EventType.IDENTIFY:
        return {}
    try:
        read = _decode_traits(payload)
        traits = read.traits or {}
        if read.context is not None and read.context.traits:
            traits = read.context.traits | traits
    except msgspec.ValidationError:
        traits = _traits_member_by_member(payload)
    for name, value in traits.items():
        try:
            _decode_any(value)
        except msgspec.ValidationError:
            traits[name] = Raw(_encode(decode_json(value)))
    return traits


def _traits_member_by_member(payload: bytes | Raw) -> dict[str, Raw]:
    """Read payloads with repeated keys, where the last one counts and an earlier one has another type."""
    members = decode_members(payload)
    context = _object(members, "context")
    return _object(context, "traits") | _object(members, "traits")


def _object(members: dict[str, Raw], name: str) -> dict[str, Raw]:
    return (members_or_none(members[name]) if name in members else None) or {}
