"""From raw events to typed ones: the batch's shared members merged in, sizes and types checked.

The fast path decodes all events of a request in one go; where any of them does not fit, each is read on its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from whisperer.events.parse import Parsed
from whisperer.events.refusals import Code, Fault, Rejected
from whisperer.events.shared_context import merger
from whisperer.events.types import EventType
from whisperer.events.validate import read_event
from whisperer.events.wire import WireEvent, decode_event, decode_message_id

MAX_EVENT_BYTES = 32 * 1024  # of the client's text, and of the event after merging

_NOT_UNICODE = Fault(Code.INVALID_UNICODE, "a string holds half of a surrogate pair")


class Decoded(msgspec.Struct):
    """The events that fit, in order; three lists of one length. ``indexes``: place of each in the request."""

    events: list[WireEvent]
    payloads: Sequence[bytes | Raw]
    indexes: Sequence[int]


def decode_events(parsed: Parsed, rejected: list[Rejected]) -> Decoded:
    """Decode a request's events; what does not fit is appended to ``rejected``."""
    payloads = parsed.events
    merges = bool(parsed.context or parsed.integrations)
    if not merges and not parsed.not_unicode and max(map(len, payloads), default=0) <= MAX_EVENT_BYTES:
        try:
            return Decoded(list(map(decode_event, payloads)), payloads, range(len(payloads)))
        except msgspec.ValidationError:
            pass
    return _one_by_one(parsed, rejected)


def _one_by_one(parsed: Parsed, rejected: list[Rejected]) -> Decoded:
    merge = merger(parsed.context, parsed.integrations)
    kind = parsed.route.kind
    events: list[WireEvent] = []
    payloads: list[bytes | Raw] = []
    indexes: list[int] = []
    for index, text in enumerate(parsed.events):
        payload = text if len(text) > MAX_EVENT_BYTES else merge(text)
        read = _NOT_UNICODE if index in parsed.not_unicode else _read(payload, kind)
        if isinstance(read, Fault):
            rejected.append(read.at(index, decode_message_id(text)))
        else:
            events.append(read)
            payloads.append(payload)
            indexes.append(index)
    return Decoded(events, payloads, indexes)


def _read(payload: bytes | Raw, kind: EventType | None) -> WireEvent | Fault:
    if len(payload) > MAX_EVENT_BYTES:
        return Fault(Code.EVENT_TOO_LARGE, f"an event holds {MAX_EVENT_BYTES} bytes at most, not {len(payload)}")
    try:
        return decode_event(payload)
    except msgspec.ValidationError:
        return read_event(payload, kind)
