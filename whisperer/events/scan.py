"""Read a body the fast way: check its bytes and find everything the wire knows, in one pass.

Decides nothing of its own. A body that is not plain (malformed in any way, batch members to merge into its events, keys
that repeat or hide behind escapes) is not scanned; in a plain body each event is plain or not
(:mod:`~whisperer.events.kernels.scan_event`). What is not plain goes the exact way, which defines the contract; a
property test keeps the two the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import MASKS, PADDING, byte_at, kernel, word_at, word_of
from whisperer.events.kernels.placeholders import DEFAULT, Placeholders
from whisperer.events.kernels.scan_event import (
    KEY_PLACE,
    KEY_SIZE,
    N_COLUMNS,
    N_EVENTS,
    N_PLAIN,
    N_RESERVED,
    SENT_START,
    SENT_STOP,
    read_event,
)
from whisperer.events.kernels.syntax import DISGUISED, ESCAPED, WRONG, after_colon, after_space, string_end, value_end
from whisperer.events.routes import Route
from whisperer.events.wire import Scalar, scalar_or_text

MAX_EVENTS = 2_500

_PADDING = bytes(PADDING)
_SMALLEST_EVENT = 8  # bytes; smaller values are not events, and a body with too many of them is not plain
_QUOTE, _COMMA, _OPEN, _CLOSE, _OPEN_ARRAY, _CLOSE_ARRAY = 0x22, 0x2C, 0x7B, 0x7D, 0x5B, 0x5D
_NULL, _ZERO, _NINE, _MINUS = 0x6E, 0x30, 0x39, 0x2D
_ROOM = 64

_W_BATCH, _W_KEY, _W_SENT, _W_CONTEXT, _W_INTEGRATIONS, _W_IONS = (
    word_of(name) for name in ("batch", "writeKey", "sentAt", "context", "integrat", "ions")
)
_BATCH, _WRITE_KEY, _SENT_AT, _CONTEXT, _INTEGRATIONS = range(1, 6)


@dataclass(slots=True, frozen=True)
class Scan:
    """Hold a plain body.

    Attributes
    ----------
    text : the body's bytes, followed by zeros
    rows : int64[n_events, N_COLUMNS], see :mod:`~whisperer.events.kernels.scan_event`
    strings : int64[n_strings, 3]: place, bytes and uses of each distinct name, zone and locale
    """

    text: NDArray[np.uint8]
    rows: NDArray[np.int64]
    strings: NDArray[np.int64]
    n_plain: int
    write_key: str | None
    sent_at: Scalar


def no_rows(n_events: int) -> NDArray[np.int64]:
    """Return the rows of events none of which is plain."""
    return np.zeros((n_events, N_COLUMNS), np.int64)


NOTHING = Scan(
    text=np.frombuffer(_PADDING, np.uint8),
    rows=no_rows(0),
    strings=np.zeros((N_RESERVED, 3), np.int64),
    n_plain=0,
    write_key=None,
    sent_at=None,
)
"""The scan of a body that is not plain."""


def scan(body: bytes, route: Route, placeholders: Placeholders = DEFAULT) -> Scan | None:
    """Return what a body of bounded size holds, or None if it is not plain."""
    kind = route.kind
    n_rows = min(MAX_EVENTS, len(body) // _SMALLEST_EVENT) if kind is None else 1
    n_strings = N_RESERVED + 3 * n_rows
    text = np.frombuffer(body + _PADDING, np.uint8)
    rows = np.empty((n_rows, N_COLUMNS), np.int64)
    strings = np.empty((n_strings, 3), np.int64)
    slots = np.zeros(1 << (2 * n_strings - 1).bit_length(), np.int32)
    found = np.zeros(N_PLAIN + 1, np.int64)
    strings[0, 0] = N_RESERVED
    if not _scan(text, len(body), int(kind or 0), rows, strings, slots, found, placeholders.packed):
        return None
    key_at, key_bytes, sent_start, sent_stop, n_events, n_plain = found.tolist()
    return Scan(
        text=text,
        rows=rows[:n_events],
        strings=strings[: strings[0, 0]],
        n_plain=n_plain,
        write_key=body[key_at : key_at + key_bytes].decode() if key_at else None,
        sent_at=scalar_or_text(body[sent_start:sent_stop]) if sent_stop else None,
    )


@kernel
def _scan(
    text: Any, size: int, route_kind: int, rows: Any, strings: Any, slots: Any, found: Any, placeholders: Any
) -> bool:
    """Fill ``rows``, ``strings`` (whose first entry counts them) and ``found``; False for a body that is not plain."""
    at = after_space(text, 0)
    if byte_at(text, at) != _OPEN:
        return False
    if route_kind:
        rows[0, :] = 0
        at = read_event(text, at, route_kind, rows[0], strings, slots, found, placeholders)
        found[N_EVENTS] = 1
    else:
        at = _read_batch(text, at, rows, strings, slots, found, placeholders)
    return at >= 0 and after_space(text, at) == size


@kernel
def _read_batch(text: Any, at: int, rows: Any, strings: Any, slots: Any, found: Any, placeholders: Any) -> int:
    seen = 0
    at = after_space(text, at + 1)
    while True:
        if byte_at(text, at) != _QUOTE:
            return WRONG
        start = at + 1
        end = string_end(text, start)
        if end < 0 or end & DISGUISED:
            return WRONG
        member = _member(text, start, (end >> 2) - start)
        at = after_colon(text, (end >> 2) + 1)
        if at < 0 or (seen >> member) & 1:
            return WRONG
        if member:
            seen |= 1 << member
        start, byte = at, byte_at(text, at)
        if member == _BATCH:
            at = _read_events(text, at, rows, strings, slots, found, placeholders)
            if at < 0:
                return WRONG
        else:
            at = value_end(text, at, _ROOM)
            if at < 0:
                return WRONG
            if member == 0 or byte == _NULL:
                pass
            elif member == _WRITE_KEY:
                if byte != _QUOTE or string_end(text, start + 1) & ESCAPED:
                    return WRONG
                found[KEY_PLACE], found[KEY_SIZE] = start + 1, at - start - 2
            elif member == _SENT_AT:
                if byte != _QUOTE and byte != _MINUS and not _ZERO <= byte <= _NINE:
                    return WRONG
                found[SENT_START], found[SENT_STOP] = start, at
            elif byte != _OPEN or byte_at(text, after_space(text, start + 1)) != _CLOSE:
                return WRONG  # a context or integrations to merge
        at = after_space(text, at)
        byte = byte_at(text, at)
        if byte == _CLOSE:
            return at + 1 if (seen >> _BATCH) & 1 else WRONG
        if byte != _COMMA:
            return WRONG
        at = after_space(text, at + 1)


@kernel
def _read_events(text: Any, at: int, rows: Any, strings: Any, slots: Any, found: Any, placeholders: Any) -> int:
    if byte_at(text, at) != _OPEN_ARRAY:
        return WRONG
    at = after_space(text, at + 1)
    if byte_at(text, at) == _CLOSE_ARRAY:
        return at + 1
    n_events = 0
    while True:
        if n_events == len(rows):
            return WRONG
        rows[n_events, :] = 0
        at = read_event(text, at, 0, rows[n_events], strings, slots, found, placeholders)
        if at < 0:
            return WRONG
        n_events += 1
        at = after_space(text, at)
        byte = byte_at(text, at)
        if byte == _CLOSE_ARRAY:
            found[N_EVENTS] = n_events
            return at + 1
        if byte != _COMMA:
            return WRONG
        at = after_space(text, at + 1)


@kernel
def _member(text: Any, at: int, size: int) -> int:
    word = word_at(text, at)
    if size == 12:
        is_integrations = word == _W_INTEGRATIONS and word_at(text, at + 8) & MASKS[4] == _W_IONS
        return _INTEGRATIONS if is_integrations else 0
    if size < 5 or size > 8:
        return 0
    word &= MASKS[size]
    if word == _W_BATCH:
        return _BATCH
    if word == _W_SENT:
        return _SENT_AT
    if word == _W_KEY:
        return _WRITE_KEY
    return _CONTEXT if word == _W_CONTEXT else 0
