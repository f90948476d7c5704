"""Recognise the names that the wire knows, in kernels: an event's members, a context's members, the kinds of event.

A name is compared as one to three words. The text is as in :mod:`.syntax`.
"""

from __future__ import annotations

from typing import Any

from whisperer.events.kernels.intrinsics import MASKS, byte_at, kernel, word_at, word_of
from whisperer.events.types import EventType

_W_TYPE, _W_EVENT, _W_USER, _W_SENT, _W_TRAITS, _W_CONTEXT, _W_GROUP, _W_KEY = (
    word_of(name) for name in ("type", "event", "userId", "sentAt", "traits", "context", "groupId", "writeKey")
)
_W_MESSAGE, _W_TIMESTAMP, _W_PROPERTIES, _W_PREVIOUS, _W_ANONYMOUS, _W_ORIGINAL = (
    word_of(name) for name in ("messageI", "timestam", "properti", "previous", "anonymou", "original")
)
_W_ES, _W_ID, _W_SID, _W_D, _W_P, _W_TIMESTAM = (word_of(name) for name in ("es", "Id", "sId", "d", "p", "Timestam"))
_W_REVENUE, _W_ZONE, _W_LOCALE, _W_ACTIVE = (word_of(name) for name in ("revenue", "timezone", "locale", "active"))
_W_TRACK, _W_IDENTIFY, _W_PAGE, _W_SCREEN, _W_GROUP_CALL, _W_ALIAS = (word_of(kind.wire) for kind in EventType)

(M_UNKNOWN, M_TYPE, M_EVENT, M_USER, M_ANONYMOUS, M_PREVIOUS, M_GROUP_ID, M_MESSAGE) = range(8)
(M_TIMESTAMP, M_ORIGINAL, M_SENT, M_PROPERTIES, M_OWN_TRAITS, M_CONTEXT, M_WRITE_KEY) = range(8, 15)
C_ZONE, C_LOCALE, C_ACTIVE, C_TRAITS = range(1, 5)


@kernel
def kind_of(text: Any, at: int, size: int) -> int:
    """Return the :class:`EventType` that a type names; 0 for any other text."""
    if size < 4 or size > 8:
        return 0
    word = word_at(text, at) & MASKS[size]
    if word == _W_TRACK:
        return 1
    if word == _W_IDENTIFY:
        return 2
    if word == _W_PAGE:
        return 3
    if word == _W_SCREEN:
        return 4
    if word == _W_GROUP_CALL:
        return 5
    return 6 if word == _W_ALIAS else 0


@kernel
def member_of(text: Any, at: int, size: int) -> int:
    """Return which of an event's members a key names, M_UNKNOWN for none."""
    if size < 4 or size > 17:
        return M_UNKNOWN
    word = word_at(text, at)
    if size <= 8:
        word &= MASKS[size]
        if size == 6:
            return (
                M_USER if word == _W_USER else M_SENT if word == _W_SENT else M_OWN_TRAITS if word == _W_TRAITS else 0
            )
        if size == 7:
            return M_CONTEXT if word == _W_CONTEXT else M_GROUP_ID if word == _W_GROUP else 0
        return M_TYPE if word == _W_TYPE else M_EVENT if word == _W_EVENT else M_WRITE_KEY if word == _W_KEY else 0
    rest = word_at(text, at + 8)
    if size == 9:
        rest &= MASKS[1]
        if word == _W_MESSAGE:
            return M_MESSAGE if rest == _W_D else M_UNKNOWN
        return M_TIMESTAMP if word == _W_TIMESTAMP and rest == _W_P else M_UNKNOWN
    if size == 10:
        rest &= MASKS[2]
        if word == _W_PROPERTIES:
            return M_PROPERTIES if rest == _W_ES else M_UNKNOWN
        return M_PREVIOUS if word == _W_PREVIOUS and rest == _W_ID else M_UNKNOWN
    if size == 11:
        return M_ANONYMOUS if word == _W_ANONYMOUS and rest & MASKS[3] == _W_SID else M_UNKNOWN
    if size == 17 and word == _W_ORIGINAL and rest == _W_TIMESTAM and byte_at(text, at + 16) == 0x70:
        return M_ORIGINAL
    return M_UNKNOWN


@kernel
def context_member_of(text: Any, at: int, size: int) -> int:
    """Return which of a context's members a key names; 0 for one that is not read."""
    if size == 8:
        return C_ZONE if word_at(text, at) == _W_ZONE else 0
    if size != 6:
        return 0
    word = word_at(text, at) & MASKS[6]
    return C_LOCALE if word == _W_LOCALE else C_ACTIVE if word == _W_ACTIVE else C_TRAITS if word == _W_TRAITS else 0


@kernel
def is_revenue(text: Any, at: int, size: int) -> bool:
    """Check if a key is ``revenue``."""
    return bool(size == 7 and word_at(text, at) & MASKS[7] == _W_REVENUE)
