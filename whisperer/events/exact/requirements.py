"""Check what an event of each kind must have, once its members have the right types."""

from __future__ import annotations

from whisperer.events.limits import MAX_MESSAGE_ID_CHARS, MAX_NAME_CHARS
from whisperer.events.refusals import Code, Fault
from whisperer.events.types import WIRE_TO_TYPE, EventType
from whisperer.events.wire import NO_RAW, WireEvent

# plain ints: comparing enums is many times slower
_TRACK, _IDENTIFY, _ALIAS = int(EventType.TRACK), int(EventType.IDENTIFY), int(EventType.ALIAS)

_NO_TYPE = Fault(Code.INVALID_TYPE, f"type must be one of {', '.join(WIRE_TO_TYPE)}", "/type")
_NO_IDENTITY = Fault(Code.MISSING_IDENTITY, "an event needs a userId or an anonymousId", "/userId")
_NO_NEW_ID = Fault(Code.MISSING_IDENTITY, "alias needs the new id as userId", "/userId")
_NO_PREVIOUS_ID = Fault(Code.MISSING_IDENTITY, "alias needs the old id as previousId", "/previousId")
_NO_NAME = Fault(Code.MISSING_EVENT, "track needs the name of the event", "/event")
_LONG_NAME = Fault(Code.NAME_TOO_LONG, f"the name of an event holds {MAX_NAME_CHARS} characters at most", "/event")
_LONG_MESSAGE_ID = Fault(Code.INVALID_TYPE, f"messageId holds {MAX_MESSAGE_ID_CHARS} characters at most", "/messageId")


def unmet(event: WireEvent, kind: int, user_id: str | None, anonymous_id: str | None) -> Fault | None:
    """Return the first requirement that an event does not meet; None for a good one.

    ``kind`` is 0 if the event's type is not one of the six. An empty string counts as absent.
    """
    if not kind:
        return _NO_TYPE
    if kind == _ALIAS:
        if not user_id:
            return _NO_NEW_ID
        if event.previousId is None or event.previousId == "":
            return _NO_PREVIOUS_ID
    elif not user_id and not anonymous_id:
        return _NO_IDENTITY
    if kind == _TRACK:
        if not event.event:
            return _NO_NAME
        if len(event.event) > MAX_NAME_CHARS:
            return _LONG_NAME
    if event.messageId and len(event.messageId) > MAX_MESSAGE_ID_CHARS:
        return _LONG_MESSAGE_ID
    return None


def misplaced_traits(event: WireEvent, kind: int) -> Fault | None:
    """Return a fault if the traits that :func:`carries_traits` reads, or any kind's ``traits``, are not an object."""
    for pointer, text in _traits_texts(event, kind):
        if text and text != b"null" and not text.startswith(b"{"):
            return Fault(Code.INVALID_TYPE, f"{pointer[1:].replace('/', '.')} must be an object", pointer)
    return None


def carries_traits(event: WireEvent, kind: int) -> bool:
    """Check if a good event states any traits: ``traits`` of identify and group, ``context.traits`` of identify."""
    if kind not in _WITH_TRAITS:
        return False
    return any(
        text.startswith(b"{") and not text[1:].lstrip(_WHITESPACE).startswith(b"}")
        for _, text in _traits_texts(event, kind)
    )


def _traits_texts(event: WireEvent, kind: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    of_context = event.context.traits if kind == _IDENTIFY and event.context is not None else NO_RAW
    return ("/traits", bytes(event.traits)), ("/context/traits", bytes(of_context))


_WITH_TRAITS = frozenset((_IDENTIFY, int(EventType.GROUP)))
_WHITESPACE = b" \t\r\n"
