"""Check one event's types exactly: turn its JSON into a typed event, or say what is wrong with it."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from whisperer.events.exact.validate import read_event
from whisperer.events.limits import MAX_EVENT_BYTES
from whisperer.events.refusals import Code, Fault
from whisperer.events.types import EventType
from whisperer.events.wire import WireEvent, decode_event

NOT_UNICODE = Fault(Code.INVALID_UNICODE, "a string holds half of a surrogate pair")


def typed_event(payload: bytes | Raw, kind: EventType | None) -> WireEvent | Fault:
    """Decode an event from well-formed JSON, or return its fault. ``kind`` is the route's, None if it has none."""
    if len(payload) > MAX_EVENT_BYTES:
        return Fault(Code.EVENT_TOO_LARGE, f"an event holds {MAX_EVENT_BYTES} bytes at most, not {len(payload)}")
    try:
        return decode_event(payload)
    except msgspec.ValidationError:
        return read_event(payload, kind)
