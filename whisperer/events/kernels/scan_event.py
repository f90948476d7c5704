"""Read one event in a kernel: the members that the wire knows, by their types, into one row of int64 columns.

An event is *plain* if nothing about it needs a second look: its known members come once each, in the types and forms
that SDKs send, and the event is acceptable. Any other event is marked in its row and read by the exact way
(:mod:`~whisperer.events.exact.reader`); its syntax is checked here all the same.

Names, time zones and locales repeat from event to event: a row holds their numbers in a table of the body's distinct
strings, as written, without quotes.
"""

from __future__ import annotations

from typing import Any

from whisperer.events.kernels.intrinsics import byte_at, kernel
from whisperer.events.kernels.placeholders import may_be_placeholder
from whisperer.events.kernels.plain_values import ABSENT, ODD, plain_instant, plain_integer, plain_micros
from whisperer.events.kernels.string_table import LOCALE_USE, NAME_USE, ZONE_USE, number_of
from whisperer.events.kernels.syntax import DISGUISED, ESCAPED, WRONG, after_colon, after_space, string_end, value_end
from whisperer.events.kernels.wire_names import (
    C_ACTIVE,
    C_LOCALE,
    C_ZONE,
    M_ANONYMOUS,
    M_CONTEXT,
    M_EVENT,
    M_GROUP_ID,
    M_MESSAGE,
    M_ORIGINAL,
    M_OWN_TRAITS,
    M_PREVIOUS,
    M_PROPERTIES,
    M_SENT,
    M_TIMESTAMP,
    M_TYPE,
    M_UNKNOWN,
    M_USER,
    M_WRITE_KEY,
    context_member_of,
    is_revenue,
    kind_of,
    member_of,
)
from whisperer.events.limits import MAX_EVENT_BYTES, MAX_MESSAGE_ID_CHARS, MAX_NAME_CHARS
from whisperer.events.types import EventType, Flag

# the columns of a row; places are in the text, keys and linked keys are without their prefix
(START, STOP, STATE, KIND, FLAGS, KEY_AT, KEY_BYTES, KEY_PREFIX, LINK_AT, LINK_BYTES, LINK_PREFIX) = range(11)
(MESSAGE_AT, MESSAGE_BYTES, TIME, SENT, REVENUE, NAME, ZONE, LOCALE) = range(11, 19)
N_COLUMNS = 19
NOT_PLAIN, PLAIN, READ, REJECTED = range(4)  # states; the last two are the exact way's
KNOWN, ANONYMOUS = ord("u"), ord("a")

N_RESERVED = 1 + len(EventType)  # string numbers: 0 is none, then the kinds' reserved names, then texts
KEY_PLACE, KEY_SIZE, SENT_START, SENT_STOP, N_EVENTS, N_PLAIN = range(6)  # what is found about the whole body

ROOM = 63  # levels of nesting in a member of an event

_TRACK, _IDENTIFY, _GROUP, _ALIAS = (
    int(kind) for kind in (EventType.TRACK, EventType.IDENTIFY, EventType.GROUP, EventType.ALIAS)
)
_INACTIVE, _TRAITS, _LINK = int(Flag.INACTIVE), int(Flag.TRAITS), int(Flag.LINK)
_CONTEXT_TRAITS, _TRAITS_OF_NO_OBJECT = 256, 512  # further flags, while an event is read
_QUOTE, _COMMA, _OPEN, _CLOSE = 0x22, 0x2C, 0x7B, 0x7D
_NULL, _FALSE, _TRUE = ord("n"), ord("f"), ord("t")  # enough to identify a value that is valid JSON


@kernel
def read_event(
    text: Any, at: int, route_kind: int, row: Any, strings: Any, slots: Any, found: Any, placeholders: Any
) -> int:
    """Fill a row of zeros with what an event holds; return where it ends, or WRONG.

    ``route_kind`` is 0 in a batch. For a single event it is the route's kind, and the body's write key is noted in
    ``found``; a write key that is not plain makes the body WRONG. ``found`` also counts the plain events.
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
                return WRONG  # could be the write key
            odd = 1
        member = member_of(text, start, (end >> 2) - start)
        at = after_colon(text, (end >> 2) + 1)
        if at < 0:
            return WRONG
        if member == M_UNKNOWN:
            at = value_end(text, at, ROOM)
            if at < 0:
                return WRONG
        else:
            is_repeated = (seen >> member) & 1
            if is_repeated:
                if member == M_WRITE_KEY and route_kind:
                    return WRONG
                odd = 1
            seen |= 1 << member
            start, byte, escaped = at, byte_at(text, at), 0
            if byte == _QUOTE:
                at = string_end(text, at + 1)
                if at >= 0:
                    escaped = at & ESCAPED
                    at = (at >> 2) + 1
            elif member == M_PROPERTIES and byte == _OPEN:
                at = _read_properties(text, at, row)
            elif member == M_CONTEXT and byte == _OPEN and not is_repeated:
                at = _read_context(text, at, row, strings, slots)
            else:
                at = value_end(text, at, ROOM)
            if at < 0:
                return WRONG
            if byte == _NULL:
                pass
            elif member == M_TYPE:
                if byte != _QUOTE:
                    odd = 1
                elif route_kind == 0:
                    kind = 0 if escaped else kind_of(text, start + 1, at - start - 2)
            elif member == M_EVENT:
                name_at, name_bytes = (start + 1, at - start - 2) if byte == _QUOTE else (start, ODD)
            elif member == M_USER:
                user_at, user_bytes = _id_span(text, start, at, byte, escaped)
            elif member == M_ANONYMOUS:
                anonymous_at, anonymous_bytes = _id_span(text, start, at, byte, escaped)
            elif member in (M_PREVIOUS, M_GROUP_ID):
                if byte != _QUOTE and plain_integer(text, start, at) == ODD:
                    odd = 1
            elif member == M_MESSAGE:
                if byte != _QUOTE or escaped:
                    odd = 1
                row[MESSAGE_AT], row[MESSAGE_BYTES] = start + 1, at - start - 2
            elif member == M_TIMESTAMP:
                given = plain_instant(text, start, at)
            elif member == M_ORIGINAL:
                original = plain_instant(text, start, at)
            elif member == M_SENT:
                sent = plain_instant(text, start, at)
            elif member == M_WRITE_KEY:
                if route_kind:
                    if byte != _QUOTE or escaped:
                        return WRONG
                    found[KEY_PLACE], found[KEY_SIZE] = start + 1, at - start - 2
            elif byte != _OPEN:  # properties, traits, context
                odd = 1
            elif member == M_OWN_TRAITS and not _is_empty(text, start):
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
    if (user_bytes > 0 and may_be_placeholder(placeholders, text, user_at, user_bytes)) or (
        anonymous_bytes > 0 and may_be_placeholder(placeholders, text, anonymous_at, anonymous_bytes)
    ):
        odd = 1
    if kind == _TRACK:
        if name_bytes <= 0 or name_bytes > MAX_NAME_CHARS or row[REVENUE] == ODD:
            odd = 1
        else:
            row[NAME] = number_of(text, name_at, name_bytes, NAME_USE, strings, slots)
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
        found[N_PLAIN] += 1
    else:
        row[STATE] = NOT_PLAIN
    return at + 1


@kernel
def _read_properties(text: Any, at: int, row: Any) -> int:
    """Note the revenue in the row, ODD if it is not plain."""
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
        is_amount = is_revenue(text, start, (end >> 2) - start)
        if end & DISGUISED:
            row[REVENUE], seen = ODD, 1
        start = after_colon(text, (end >> 2) + 1)
        if start < 0:
            return WRONG
        at = value_end(text, start, ROOM - 1)
        if at < 0:
            return WRONG
        if is_amount:
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
    """Note time zone, locale, activity and traits in the row; its state is ODD if one of them is not plain."""
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
        member = context_member_of(text, start, (end >> 2) - start)
        start = after_colon(text, (end >> 2) + 1)
        if start < 0:
            return WRONG
        at = value_end(text, start, ROOM - 1)
        if at < 0:
            return WRONG
        byte = byte_at(text, start)
        if member:
            is_repeated = (seen >> member) & 1
            seen |= 1 << member
            if is_repeated:  # skipped: the table of strings has room for one of each use per event
                row[STATE] = ODD
            elif byte == _NULL:
                pass
            elif member in (C_ZONE, C_LOCALE):
                if byte != _QUOTE:
                    row[STATE] = ODD
                elif at - start > 2:
                    column, use = (ZONE, ZONE_USE) if member == C_ZONE else (LOCALE, LOCALE_USE)
                    row[column] = number_of(text, start + 1, at - start - 2, use, strings, slots)
            elif member == C_ACTIVE:
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
    """Return (place, bytes) of an id's text; bytes are ODD if it is neither a plain string nor a natural number."""
    if byte == _QUOTE:
        return start + 1, (ODD if escaped else stop - start - 2)
    if byte == 0x2D or plain_integer(text, start, stop) == ODD:
        return start, ODD
    return start, stop - start


@kernel
def _is_empty(text: Any, at: int) -> Any:
    return byte_at(text, after_space(text, at + 1)) == _CLOSE
