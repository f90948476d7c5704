"""Read one event slowly and exactly, after the typed decode has refused it.

Says which member has the wrong type, and lets through what only looks wrong: a repeated key whose last value is right,
a member of a type that the contract tolerates (unusable timestamps, time zones, locales and revenue are counted and
the event is kept), a member that this kind of event does not use.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from whisperer.events.refusals import Code, Fault
from whisperer.events.types import WIRE_TO_TYPE, EventType
from whisperer.events.wire import (
    NO_RAW,
    Context,
    Properties,
    WireEvent,
    members_or_none,
    scalar_or_text,
)

_IDS = ("userId", "anonymousId", "previousId", "groupId")
_TEXTS = ("type", "messageId")
_TIMES = ("timestamp", "originalTimestamp", "sentAt")

_decode_id = msgspec.json.Decoder(str | int | float | None).decode
_decode_text = msgspec.json.Decoder(str | None).decode


def read_event(payload: bytes | Raw, kind: EventType | None) -> WireEvent | Fault:
    """Read an event whose JSON is well-formed; never raises. ``kind`` is the route's, None if the event has its own."""
    members = members_or_none(payload)
    if members is None:
        return _wrong("", "an event must be a JSON object")
    event = WireEvent()
    for name in (*_TEXTS, *_IDS):
        if name in members:
            try:
                setattr(event, name, (_decode_text if name in _TEXTS else _decode_id)(members[name]))
            except msgspec.ValidationError:
                return _wrong(f"/{name}", f"{name} must be a string{'' if name in _TEXTS else ' or a number'}")
    for name in _TIMES:
        if name in members:
            setattr(event, name, scalar_or_text(members[name]))
    return _read_objects(event, members) or _read_name(event, members, kind) or event


def _wrong(pointer: str, message: str) -> Fault:
    return Fault(Code.INVALID_TYPE, message, pointer)


def _read_name(event: WireEvent, members: dict[str, Raw], kind: EventType | None) -> Fault | None:
    """Read ``event``, which names a track event; other kinds may put anything there."""
    if "event" not in members or (kind or WIRE_TO_TYPE.get(event.type or "")) != EventType.TRACK:
        return None
    try:
        event.event = _decode_text(members["event"])
    except msgspec.ValidationError:
        return _wrong("/event", "event must be a string")
    return None


def _read_objects(event: WireEvent, members: dict[str, Raw]) -> Fault | None:
    event.traits = members.get("traits", NO_RAW)
    for name in ("properties", "context"):
        if name not in members or bytes(members[name]) == b"null":
            continue
        inner = members_or_none(members[name])
        if inner is None:
            return _wrong(f"/{name}", f"{name} must be an object")
        if name == "properties":
            event.properties = Properties(revenue=scalar_or_text(inner["revenue"]) if "revenue" in inner else None)
        else:
            event.context = _read_context(inner)
    return None


def _read_context(members: dict[str, Raw]) -> Context:
    return Context(
        timezone=_text_of(members, "timezone"),
        locale=_text_of(members, "locale"),
        active=False if bytes(members.get("active", NO_RAW)) == b"false" else None,
        traits=members.get("traits", NO_RAW),
    )


def _text_of(members: dict[str, Raw], name: str) -> str | None:
    """Return the member's string; a number or anything else as JSON text, which is neither a zone nor a locale."""
    if name not in members:
        return None
    value = scalar_or_text(members[name])
    return value if value is None or isinstance(value, str) else bytes(members[name]).decode()
