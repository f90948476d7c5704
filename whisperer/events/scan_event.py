"""One event read by a kernel: the members that the wire knows, by their types, into one row of int64 columns.

An event is *plain* where nothing about it needs a second look: its known members come once each, in the types and forms
that SDKs send, and the event is one to be accepted. Of any other the row says so, and the exact way
(:mod:`~whisperer.events.exact`) reads it; its syntax is checked here all the same.

Names, time zones and locales repeat from event to event: a row holds their numbers in a table of the body's distinct
strings, as written, quotes left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whisperer.events.decode import MAX_EVENT_BYTES
from whisperer.events.plain_values import ABSENT, ODD, plain_instant, plain_integer, plain_micros
from whisperer.events.requirements import MAX_MESSAGE_ID_CHARS
from whisperer.events.syntax import DISGUISED, ESCAPED, WRONG, after_colon, after_space, string_end, value_end
from whisperer.events.types import EventType, Flag
from whisperer.events.words import MASKS, byte_at, kernel, word_at, word_of
from whisperer.events.xxh3 import hash64

# the columns of a row: places in the text, keys and linked keys without their prefix
(START, STOP, STATE, KIND, FLAGS, KEY_AT, KEY_BYTES, KEY_PREFIX, LINK_AT, LINK_BYTES, LINK_PREFIX) = range(11)
(MESSAGE_AT, MESSAGE_BYTES, TIME, SENT, REVENUE, NAME, ZONE, LOCALE) = range(11, 19)
N_COLUMNS = 19
NOT_PLAIN, PLAIN, READ, REJECTED = range(4)  # states; the last two are the exact way's
KNOWN, ANONYMOUS = ord("u"), ord("a")

N_RESERVED = 1 + len(EventType)  # numbers of strings: 0 is none, then come the kinds' reserved names, then texts
NAME_USE, ZONE_USE, LOCALE_USE = 1, 2, 4  # what a string is used as, as bits
KEY_PLACE, KEY_SIZE, SENT_START, SENT_STOP, N_EVENTS, N_STRINGS = range(6)  # what is found of the body as a whole

ROOM = 63  # levels that a member of an event may nest

_TRACK, _IDENTIFY, _GROUP, _ALIAS = (
    int(kind) for kind in (EventType.TRACK, EventType.IDENTIFY, EventType.GROUP, EventType.ALIAS)
)
_INACTIVE, _TRAITS, _LINK = int(Flag.INACTIVE), int(Flag.TRAITS), int(Flag.LINK)
_CONTEXT_TRAITS, _TRAITS_OF_NO_OBJECT = 256, 512  # further flags, while an event is read
_QUOTE, _COMMA, _OPEN, _CLOSE = 0x22, 0x2C, 0x7B, 0x7D
_NULL, _FALSE, _TRUE = ord("n"), ord("f"), ord("t")  # the first bytes say enough of a value that is JSON
_W_TYPE, _W_EVENT, _W_USER, _W_SENT, _W_TRAITS, _W_CONTEXT, _W_GROUP, _W_KEY = (
    word_of(name) for name in ("type", "event", "userId", "sentAt", "traits", "context", "groupId", "writeKey")
)
_W_MESSAGE, _W_TIMESTAMP, _W_PROPERTIES, _W_PREVIOUS, _W_ANONYMOUS, _W_ORIGINAL = (
    word_of(name) for name in ("messageI", "timestam", "properti", "previous", "anonymou", "original")
)
_W_ES, _W_ID, _W_SID, _W_D, _W_P, _W_TIMESTAM = (word_of(name) for name in ("es", "Id", "sId", "d", "p", "Timestam"))
_W_REVENUE, _W_ZONE, _W_LOCALE, _W_ACTIVE = (word_of(name) for name in ("revenue", "timezone", "locale", "active"))
_W_TRACK, _W_IDENTIFY, _W_PAGE, _W_SCREEN, _W_GROUP_CALL, _W_ALIAS = (word_of(kind.wire) for kind in EventType)

(_UNKNOWN, _TYPE, _EVENT, _USER, _ANONYMOUS, _PREVIOUS, _GROUP_ID, _MESSAGE) = range(8)
(_TIMESTAMP, _ORIGINAL, _SENT, _PROPERTIES, _OWN_TRAITS, _CONTEXT, _WRITE_KEY) = range(8, 15)


@kernel
def read_event(text: Any, at: int, route_kind: int, row: Any, strings: Any, slots: Any, found: Any) -> int:
    """Fill a row of zeros with what an event holds; return where it ends, or WRONG.

    ``route_kind`` is 0 in a batch. For a single event it is the route's, and the body's write key is noted in
    ``found``; a key that is not plain makes the body WRONG.
    """
    row[START] = at
    if byte_at(text, at) != _OPEN:
        at = value_end(text, at, ROOM + 1)
        row[STOP] = at
        return at
    seen, odd, kind = 0, 0, route_kind
    user_at, user_bytes, anonymous_at, anonymous_bytes, name_at, name_bytes = 0, 0, 0, 0, 0, 0
    given, original, sent = ABSENT, ABSENT, ABSENT
    at = after_space(text, at + 1)
    if byte_at(text, at) == _CLOSE:
        row[STOP] = at + 1
        return at + 1
    while True:
        if byte_at(text, at) != _QUOTE:
            return WRONG
        start = at + 1
        end = string_end(text, start)
        if end < 0:
            return WRONG
        if end & DISGUISED:
            if route_kind:
                return WRONG  # the write key?
            odd = 1
        member = _member(text, start, (end >> 2) - start)
        at = after_colon(text, (end >> 2) + 1)
        if at < 0:
            return WRONG
        if member == _UNKNOWN:
            at = value_end(text, at, ROOM)
            if at < 0:
                return WRONG
        else:
            if (seen >> member) & 1:
                if member == _WRITE_KEY and route_kind:
                    return WRONG
                odd = 1
            seen |= 1 << member
            start, byte, escaped = at, byte_at(text, at), 0
            if byte == _QUOTE:
                at = string_end(text, at + 1)
                if at >= 0:
                    escaped = at & ESCAPED
                    at = (at >> 2) + 1
            elif member == _PROPERTIES and byte == _OPEN:
                at = _read_properties(text, at, row)
            elif member == _CONTEXT and byte == _OPEN:
                at = _read_context(text, at, row, strings, slots)
            else:
                at = value_end(text, at, ROOM)
            if at < 0:
                return WRONG
            if byte == _NULL:
                pass
            elif member == _TYPE:
                if byte != _QUOTE:
                    odd = 1
                elif route_kind == 0:
                    kind = 0 if escaped else _kind(text, start + 1, at - start - 2)
            elif member == _EVENT:
                name_at, name_bytes = (start + 1, at - start - 2) if byte == _QUOTE else (start, ODD)
            elif member == _USER:
                user_at, user_bytes = _id_span(text, start, at, byte, escaped)
            elif member == _ANONYMOUS:
                anonymous_at, anonymous_bytes = _id_span(text, start, at, byte, escaped)
            elif member == _PREVIOUS or member == _GROUP_ID:
                if byte != _QUOTE and plain_integer(text, start, at) == ODD:
                    odd = 1
            elif member == _MESSAGE:
                if byte != _QUOTE or escaped:
                    odd = 1
                row[MESSAGE_AT], row[MESSAGE_BYTES] = start + 1, at - start - 2
            elif member == _TIMESTAMP:
                given = plain_instant(text, start, at)
            elif member == _ORIGINAL:
                original = plain_instant(text, start, at)
            elif member == _SENT:
                sent = plain_instant(text, start, at)
            elif member == _WRITE_KEY:
                if route_kind:
                    if byte != _QUOTE or escaped:
                        return WRONG
                    found[KEY_PLACE], found[KEY_SIZE] = start + 1, at - start - 2
            elif byte != _OPEN:  # properties, traits, context
                odd = 1
            elif member == _OWN_TRAITS and not _is_empty(text, start):
                row[FLAGS] |= _TRAITS
        at = after_space(text, at)
        byte = byte_at(text, at)
        if byte == _CLOSE:
            break
        if byte != _COMMA:
            return WRONG
        at = after_space(text, at + 1)
    row[STOP] = at + 1
    row[KIND] = kind
    row[TIME] = original if given == ABSENT else given
    row[SENT] = sent
    if kind == _IDENTIFY:
        if row[FLAGS] & _TRAITS_OF_NO_OBJECT:
            odd = 1
        if row[FLAGS] & _CONTEXT_TRAITS:
            row[FLAGS] |= _TRAITS
    elif kind != _GROUP:
        row[FLAGS] &= ~_TRAITS
    row[FLAGS] &= _INACTIVE | _TRAITS
    if user_bytes > 0:
        row[KEY_AT], row[KEY_BYTES], row[KEY_PREFIX] = user_at, user_bytes, KNOWN
        if anonymous_bytes > 0:
            row[LINK_AT], row[LINK_BYTES], row[LINK_PREFIX] = anonymous_at, anonymous_bytes, ANONYMOUS
            row[FLAGS] |= _LINK
    else:
        row[KEY_AT], row[KEY_BYTES], row[KEY_PREFIX] = anonymous_at, anonymous_bytes, ANONYMOUS
    if kind == _TRACK:
        if name_bytes <= 0 or row[REVENUE] == ODD:
            odd = 1
        else:
            row[NAME] = _number_of(text, name_at, name_bytes, NAME_USE, strings, slots)
    else:
        row[NAME] = kind
        row[REVENUE] = 0
    if (
        odd == 0
        and row[STATE] == 0
        and 0 < kind != _ALIAS
        and user_bytes >= 0
        and anonymous_bytes >= 0
        and row[KEY_BYTES] > 0
        and 0 < row[MESSAGE_BYTES] <= MAX_MESSAGE_ID_CHARS
        and row[TIME] != ODD
        and sent != ODD
        and row[STOP] - row[START] <= MAX_EVENT_BYTES
    ):
        row[STATE] = PLAIN
    else:
        row[STATE] = NOT_PLAIN
    return at + 1


@kernel
def _read_properties(text: Any, at: int, row: Any) -> int:
    """Note the revenue, ODD where it is not plain."""
    seen = 0
    at = after_space(text, at + 1)
    if byte_at(text, at) == _CLOSE:
        return at + 1
    while True:
        if byte_at(text, at) != _QUOTE:
            return WRONG
        start = at + 1
        end = string_end(text, start)
        if end < 0:
            return WRONG
        is_revenue = (end >> 2) - start == 7 and word_at(text, start) & MASKS[7] == _W_REVENUE
        if end & DISGUISED:
            row[REVENUE], seen = ODD, 1
        start = after_colon(text, (end >> 2) + 1)
        if start < 0:
            return WRONG
        at = value_end(text, start, ROOM - 1)
        if at < 0:
            return WRONG
        if is_revenue:
            if seen:
                row[REVENUE] = ODD
            elif byte_at(text, start) != _NULL:
                row[REVENUE] = plain_micros(text, start, at)
            seen = 1
        at = after_space(text, at)
        byte = byte_at(text, at)
        if byte == _CLOSE:
            return at + 1
        if byte != _COMMA:
            return WRONG
        at = after_space(text, at + 1)


@kernel
def _read_context(text: Any, at: int, row: Any, strings: Any, slots: Any) -> int:
    """Note time zone, locale, activity and traits; a state of ODD where one of them is not plain."""
    seen = 0
    at = after_space(text, at + 1)
    if byte_at(text, at) == _CLOSE:
        return at + 1
    while True:
        if byte_at(text, at) != _QUOTE:
            return WRONG
        start = at + 1
        end = string_end(text, start)
        if end < 0:
            return WRONG
        if end & DISGUISED:
            row[STATE] = ODD
        size = (end >> 2) - start
        member = 0
        if size == 8:
            member = ZONE if word_at(text, start) == _W_ZONE else 0
        elif size == 6:
            word = word_at(text, start) & MASKS[6]
            member = (
                LOCALE if word == _W_LOCALE else FLAGS if word == _W_ACTIVE else LINK_AT if word == _W_TRAITS else 0
            )
        start = after_colon(text, (end >> 2) + 1)
        if start < 0:
            return WRONG
        at = value_end(text, start, ROOM - 1)
        if at < 0:
            return WRONG
        byte = byte_at(text, start)
        if member:
            if (seen >> member) & 1:
                row[STATE] = ODD
            seen |= 1 << member
            if byte == _NULL:
                pass
            elif member == ZONE or member == LOCALE:
                if byte != _QUOTE:
                    row[STATE] = ODD
                elif at - start > 2:
                    use = ZONE_USE if member == ZONE else LOCALE_USE
                    row[member] = _number_of(text, start + 1, at - start - 2, use, strings, slots)
            elif member == FLAGS:
                if byte == _FALSE:
                    row[FLAGS] |= _INACTIVE
                elif byte != _TRUE:
                    row[STATE] = ODD
            elif byte != _OPEN:
                row[FLAGS] |= _TRAITS_OF_NO_OBJECT
            elif not _is_empty(text, start):
                row[FLAGS] |= _CONTEXT_TRAITS
        at = after_space(text, at)
        byte = byte_at(text, at)
        if byte == _CLOSE:
            return at + 1
        if byte != _COMMA:
            return WRONG
        at = after_space(text, at + 1)


@kernel
def _id_span(text: Any, start: int, stop: int, byte: int, escaped: int) -> Any:
    """(place, bytes) of an id's text; bytes are ODD where it is neither a plain string nor a plain natural number."""
    if byte == _QUOTE:
        return start + 1, (ODD if escaped else stop - start - 2)
    if byte == 0x2D or plain_integer(text, start, stop) == ODD:
        return start, ODD
    return start, stop - start


@kernel
def _is_empty(text: Any, at: int) -> bool:
    return byte_at(text, after_space(text, at + 1)) == _CLOSE


@kernel
def _kind(text: Any, at: int, size: int) -> int:
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
def _member(text: Any, at: int, size: int) -> int:
    """Which of an event's members a key names."""
    if size < 4 or size > 17:
        return _UNKNOWN
    word = word_at(text, at)
    if size <= 8:
        word &= MASKS[size]
        if size == 6:
            return _USER if word == _W_USER else _SENT if word == _W_SENT else _OWN_TRAITS if word == _W_TRAITS else 0
        if size == 7:
            return _CONTEXT if word == _W_CONTEXT else _GROUP_ID if word == _W_GROUP else 0
        return _TYPE if word == _W_TYPE else _EVENT if word == _W_EVENT else _WRITE_KEY if word == _W_KEY else 0
    rest = word_at(text, at + 8)
    if size == 9:
        rest &= MASKS[1]
        if word == _W_MESSAGE:
            return _MESSAGE if rest == _W_D else _UNKNOWN
        return _TIMESTAMP if word == _W_TIMESTAMP and rest == _W_P else _UNKNOWN
    if size == 10:
        rest &= MASKS[2]
        if word == _W_PROPERTIES:
            return _PROPERTIES if rest == _W_ES else _UNKNOWN
        return _PREVIOUS if word == _W_PREVIOUS and rest == _W_ID else _UNKNOWN
    if size == 11:
        return _ANONYMOUS if word == _W_ANONYMOUS and rest & MASKS[3] == _W_SID else _UNKNOWN
    if size == 17 and word == _W_ORIGINAL and rest == _W_TIMESTAM and byte_at(text, at + 16) == 0x70:
        return _ORIGINAL
    return _UNKNOWN


@kernel
def _number_of(text: Any, start: int, length: int, use: int, strings: Any, slots: Any) -> int:
    """The number of a string in the body's table, which has (place, bytes, uses) of each."""
    mask = len(slots) - 1
    slot = np.int64(hash64(text, start, length, np.uint64(0)) & np.uint64(mask))
    while True:
        number = np.int64(slots[slot])
        if number == 0:
            number = strings[0, 0]
            strings[0, 0] = number + 1
            strings[number, 0], strings[number, 1], strings[number, 2] = start, length, use
            slots[slot] = number
            return number
        if strings[number, 1] == length and _is_same(text, strings[number, 0], start, length):
            strings[number, 2] |= use
            return number
        slot = (slot + 1) & mask


@kernel
def _is_same(text: Any, one: int, other: int, length: int) -> bool:
    while length >= 8:
        if word_at(text, one) != word_at(text, other):
            return False
        one, other, length = one + 8, other + 8, length - 8
    return (word_at(text, one) ^ word_at(text, other)) & MASKS[length] == np.uint64(0)
