"""Define the shapes that decoding checks: an event, a batch, and the few members that are read.

One typed decode per event is both the parse and the type check. Members not named here are skipped (their syntax is
still checked) and stay in the payload. ``null`` and absent are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

NO_RAW = Raw(b"")  # an absent member of type Raw; its length is 0

Scalar = str | int | float | None


class Properties(msgspec.Struct, gc=False):
    revenue: Scalar = None


class Context(msgspec.Struct, gc=False):
    timezone: str | None = None
    locale: str | None = None
    active: bool | None = None
    traits: Raw = NO_RAW


class WireEvent(msgspec.Struct, gc=False):
    """Hold an event's known members, most frequent first; names are Segment's."""

    type: str | None = None
    event: str | None = None
    userId: Scalar = None  # noqa: N815
    anonymousId: Scalar = None  # noqa: N815
    previousId: Scalar = None  # noqa: N815
    groupId: Scalar = None  # noqa: N815
    messageId: str | None = None  # noqa: N815
    timestamp: Scalar = None
    originalTimestamp: Scalar = None  # noqa: N815
    sentAt: Scalar = None  # noqa: N815
    properties: Properties | None = None
    traits: Raw = NO_RAW
    context: Context | None = None


class SingleEnvelope(msgspec.Struct, gc=False):
    """Hold what is read of a single event before its tenant is known."""

    writeKey: str | None = None  # noqa: N815


class BatchEnvelope(msgspec.Struct, gc=False):
    batch: list[Raw] | None = None
    writeKey: str | None = None  # noqa: N815
    sentAt: Scalar = None  # noqa: N815
    context: dict[str, Raw] | None = None
    integrations: dict[str, Raw] | None = None


decode_event = msgspec.json.Decoder(WireEvent).decode
decode_single = msgspec.json.Decoder(SingleEnvelope).decode
decode_batch = msgspec.json.Decoder(BatchEnvelope).decode
decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_scalar: Callable[[bytes | Raw], Scalar] = msgspec.json.Decoder(Scalar).decode


class _MessageId(msgspec.Struct, gc=False):
    messageId: str | None = None  # noqa: N815


def decode_message_id(event: bytes | Raw) -> str | None:
    """Return the messageId of an event that is rejected unread; None if it cannot be read."""
    try:
        return _decode_message_id(event).messageId
    except msgspec.ValidationError:
        return None


_decode_message_id = msgspec.json.Decoder(_MessageId).decode


def members_or_none(raw: Raw | bytes) -> dict[str, Raw] | None:
    """Return the members of a JSON object; None for any other value. The text must be well-formed JSON."""
    try:
        return decode_members(raw)
    except msgspec.ValidationError:
        return None


def scalar_or_text(raw: Raw | bytes) -> Scalar:
    """Decode a string, number or null; return any other value as its JSON text, which no parser of a field accepts."""
    try:
        return _decode_scalar(raw)
    except msgspec.ValidationError:
        return str(bytes(raw), "utf-8")
