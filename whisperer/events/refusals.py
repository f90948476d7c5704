"""Say why something is not stored: one enum of codes, one table to HTTP, and the values that carry a code.

A drop is a value: :class:`Refusal` turns a whole request away, :class:`Rejected` one of its events because of a
:class:`Fault`; none is ever raised.
The codes are part of the wire contract (official SDKs resend a 400 that has none), so they are never renamed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Code(StrEnum):
    MALFORMED_JSON = "malformed_json"
    INVALID_UNICODE = "invalid_unicode"
    INVALID_TYPE = "invalid_type"
    MISSING_IDENTITY = "missing_identity"
    MISSING_EVENT = "missing_event"
    NAME_TOO_LONG = "name_too_long"
    TOO_MANY_EVENTS = "too_many_events"
    ALL_EVENTS_REJECTED = "all_events_rejected"
    INVALID_KEY = "invalid_key"
    EVENT_TOO_LARGE = "event_too_large"
    BODY_TOO_LARGE = "body_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"


STATUS: dict[Code, int] = {
    Code.MALFORMED_JSON: 400,
    Code.INVALID_UNICODE: 400,
    Code.INVALID_TYPE: 400,
    Code.MISSING_IDENTITY: 400,
    Code.MISSING_EVENT: 400,
    Code.NAME_TOO_LONG: 400,
    Code.TOO_MANY_EVENTS: 400,
    Code.ALL_EVENTS_REJECTED: 400,
    Code.INVALID_KEY: 401,
    Code.EVENT_TOO_LARGE: 413,
    Code.BODY_TOO_LARGE: 413,
    Code.REQUEST_TIMEOUT: 408,
    Code.RATE_LIMITED: 429,
    Code.OVERLOADED: 503,
}


class Refusal(msgspec.Struct, frozen=True):
    """Turn a whole request away; nothing of it is stored.

    ``pointer`` is the JSON pointer (RFC 6901) of the offending place, "" for the body itself.
    """

    code: Code
    message: str
    pointer: str = ""

    @property
    def status(self) -> int:
        return STATUS[self.code]


class Fault(msgspec.Struct, frozen=True):
    """Say what is wrong with one event, whatever its place in a batch; ``pointer`` is relative to the event."""

    code: Code
    message: str
    pointer: str = ""

    def at(self, index: int, message_id: str | None) -> Rejected:
        """Return the rejection of the event at this place in its batch."""
        return Rejected(index, message_id, self.code, self.message, self.pointer)


class Rejected(msgspec.Struct, frozen=True):
    """Turn one event away, but not its neighbours.

    ``index`` is its place in the batch, ``message_id`` the client's own if one could be read, ``pointer`` a JSON
    pointer inside the event.
    """

    index: int
    message_id: str | None
    code: Code
    message: str
    pointer: str = ""
