"""Read one trait of many users at once, as texts that can be compared byte by byte.

A text begins with the value's kind: `"` and then a string's UTF-8, or `#` and then a number, `true` or `false`. Numbers
that are equal have the same text, however they were written: 42, 42.0 and 4.2e1 are all `#42`. Users without the trait,
and those whose value is null, a list or an object, have no text. Texts are cut at :data:`MAX_BYTES`: what is looked for
is shorter (:data:`MAX_SOUGHT`), so a text that was cut is equal to nothing, and its beginning is still its own.

A compiled kernel walks through the pages as MessagePack and reads plain values, at 0.2 us a user; the few others
(escapes, fractions, users of several pages) are decoded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.pages import Stored, find
from whisperer.profiles.slabs import int64

MAX_SOUGHT = 200
"""Characters of a value that users are looked for by."""
MAX_BYTES = 4 * MAX_SOUGHT + 2
"""Bytes kept of a text."""

TEXT, SCALAR = b'"', b"#"

_NONE, _ODD = -1, -2
_QUOTE, _SLASH, _MINUS, _ZERO, _NINE = 0x22, 0x5C, 0x2D, 0x30, 0x39

Texts = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
"""(bytes, start of each, length of each, -1 where there is none)"""


@kernel
def _after_int(data: Any, at: int) -> Any:
    head = data[at]
    if head < 0x80 or head >= 0xE0:
        return at + 1
    if head == 0xCC or head == 0xD0:
        return at + 2
    if head == 0xCD or head == 0xD1:
        return at + 3
    if head == 0xCE or head == 0xD2:
        return at + 5
    return at + 9


@kernel
def _big_endian(data: Any, at: int, width: int) -> Any:
    found = int64(0)
    for i in range(width):
        found = found << 8 | int64(data[at + i])
    return found


@kernel
def _value_at(data: Any, at: int, name: Any) -> Any:
    """Return start and length of a name's JSON in an encoded page (:mod:`.pages`); length -1 if it is not there."""
    head = data[at]
    if head < 0x90:
        n, at = int64(head & 0x0F), at + 1
    elif head == 0xDE:
        n, at = _big_endian(data, at + 1, 2), at + 3
    else:
        n, at = _big_endian(data, at + 1, 4), at + 5
    for _ in range(n):
        head = data[at]
        if head < 0xC0:
            length, at = int64(head & 0x1F), at + 1
        elif head == 0xD9:
            length, at = int64(data[at + 1]), at + 2
        elif head == 0xDA:
            length, at = _big_endian(data, at + 1, 2), at + 3
        else:
            length, at = _big_endian(data, at + 1, 4), at + 5
        same = length == len(name)
        if same:
            for i in range(length):
                if data[at + i] != name[i]:
                    same = False
                    break
        at = _after_int(data, _after_int(data, at + length + 1))
        head = data[at]
        if head == 0xC4:
            length, at = int64(data[at + 1]), at + 2
        elif head == 0xC5:
            length, at = _big_endian(data, at + 1, 2), at + 3
        else:
            length, at = _big_endian(data, at + 1, 4), at + 5
        if same:
            return at, length
        at += length
    return at, int64(-1)


@kernel
def _plain(data: Any, at: int, length: int) -> Any:
    """Return the kind's byte of a JSON value whose text is as it is written, else ``_NONE`` or ``_ODD``."""
    first = data[at]
    if first == _QUOTE:
        for i in range(1, length - 1):
            if data[at + i] == _SLASH:
                return _ODD
        return int64(_QUOTE)
    if first == 0x74 or first == 0x66:  # t, f
        return int64(0x23)
    if first == 0x6E or first == 0x5B or first == 0x7B:  # n, [, {
        return _NONE
    digits = 1 if first == _MINUS else 0
    if length == digits or length > 15 or (digits == 1 and data[at + 1] == _ZERO):
        return _ODD
    for i in range(digits, length):
        if data[at + i] < _ZERO or data[at + i] > _NINE:
            return _ODD
    return int64(0x23)


@kernel
def _read(data: Any, starts: Any, name: Any, most: int, texts: Any, at: Any, lengths: Any) -> Any:
    """Fill in texts, starts and lengths; return the bytes of all texts together."""
    used = int64(0)
    for i in range(len(starts) - 1):
        lengths[i], at[i] = _NONE, used
        if starts[i] == starts[i + 1]:
            continue
        start, length = _value_at(data, starts[i], name)
        if length <= 0:
            continue
        kind = _plain(data, start, length)
        if kind < 0:
            lengths[i] = kind
            continue
        if kind == _QUOTE:
            start, length = start + 1, length - 2
        length = min(length, most - 1)
        texts[used] = kind
        for j in range(length):
            texts[used + 1 + j] = data[start + j]
        lengths[i] = length + 1
        used += length + 1
    return used


def read(traits: Sequence[Stored], rows: Sequence[int], name: str) -> Texts:
    """Return the texts of a trait of these rows, in their order."""
    stored = [traits[row] for row in rows]
    pages = [one if one.__class__ is bytes else b"" for one in stored]
    starts = np.zeros(len(pages) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, pages), np.int64, len(pages)), out=starts[1:])
    data = np.frombuffer(b"".join(pages), np.uint8)
    texts = np.empty(len(data) + 1, np.uint8)
    at, lengths = np.empty((2, len(pages)), np.int64)
    encoded = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
    used = int(_read(data, starts, encoded, MAX_BYTES, texts, at, lengths))
    texts = texts[:used]
    odd = [i for i in np.flatnonzero((lengths == _ODD) | (starts[1:] == starts[:-1])).tolist() if stored[i] is not None]
    if not odd:
        return texts, at, lengths
    more: list[bytes] = []
    for i in odd:
        register = find(stored[i], name)
        text = None if register is None else text_of(register[2])
        lengths[i], at[i] = (_NONE, 0) if text is None else (len(text), used)
        if text is not None:
            more.append(text)
            used += len(text)
    return np.concatenate([texts, np.frombuffer(b"".join(more), np.uint8)]), at, lengths


def text_of(value: bytes) -> bytes | None:
    """Return the text of one value's JSON; None if it has none."""
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None  # a number beyond float64: stored and returned unchanged, equal to nothing
    if isinstance(found, str):
        return TEXT + found.encode("utf-8", "surrogatepass")[: MAX_BYTES - 1]
    return None if (scalar := _scalar(found)) is None else SCALAR + scalar


def _scalar(value: Any) -> bytes | None:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).encode()[: MAX_BYTES - 1] if isinstance(value, int | float) else None


def equal_to(sought: str) -> list[bytes]:
    """Return the texts that a value written as ``sought`` has: as a string and, if it is one, as a number or bool."""
    found = [TEXT + sought.encode("utf-8", "surrogatepass")]
    try:
        scalar = _scalar(msgspec.json.decode(sought.encode()))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return found
    return found if scalar is None else [*found, SCALAR + scalar]


def beginning_with(sought: str) -> bytes:
    """Return the beginning of the texts of strings that begin with ``sought``."""
    return TEXT + sought.encode("utf-8", "surrogatepass")


@kernel
def _matching(data: Any, at: Any, lengths: Any, sought: Any, is_prefix: bool, found: Any) -> None:
    for i in range(len(at)):
        found[i] = lengths[i] >= len(sought) if is_prefix else lengths[i] == len(sought)
        if found[i]:
            for j in range(len(sought)):
                if data[at[i] + j] != sought[j]:
                    found[i] = False
                    break


def matching(texts: Texts, sought: bytes, *, is_prefix: bool) -> NDArray[np.bool_]:
    """Return which texts are ``sought``, or begin with it."""
    found = np.empty(len(texts[1]), np.bool_)
    _matching(*texts, np.frombuffer(sought, np.uint8), is_prefix, found)
    return found
