"""Check JSON's grammar (RFC 8259) in kernels over the bytes of a text: find where a string, a number, any value ends.

The syntax of everything skipped is checked in full: escapes and their surrogate pairs, UTF-8, numbers, nesting. The
text must be followed by :data:`~whisperer.events.kernels.intrinsics.PADDING` zero bytes. No JSON contains one, so
nothing here needs to know where the text ends. A result below 0 means "this is not JSON" (or nests too deep); the exact
way says why.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whisperer.events.kernels.intrinsics import byte_at, half_word_at, kernel, lowest_bit, string_stops

WRONG = -1
ESCAPED = 1  # flag of a string: it holds an escape
DISGUISED = 2  # flag of a string: it holds an escape for an ASCII character, which could hide a known name

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS, _DOT = 0x22, 0x5C, 0x2C, 0x3A, 0x2D, 0x2E
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = 0x7B, 0x7D, 0x5B, 0x5D
_ZERO, _NINE = 0x30, 0x39
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_TRUE = np.uint64(int.from_bytes(b"true", "little"))
_ALSE = np.uint64(int.from_bytes(b"alse", "little"))


@kernel
def after_space(text: Any, at: int) -> int:
    """Return the first place at or after ``at`` that is not JSON whitespace."""
    while True:
        byte = byte_at(text, at)
        if byte > 0x20 or not (byte == 0x20 or byte == 0x0A or byte == 0x0D or byte == 0x09):
            return at
        at += 1


@kernel
def string_end(text: Any, at: int) -> int:
    """Skip from just after a string's opening quote to its closing one: ``place << 2 | flags``, or WRONG."""
    flags = 0
    while True:
        stops = string_stops(text, at)
        if not stops:
            at += 32
            continue
        at += lowest_bit(stops)
        byte = byte_at(text, at)
        if byte == _QUOTE:
            return at << 2 | flags
        if byte == _BACKSLASH:
            flags |= ESCAPED
            if byte_at(text, at + 1) == 0x75:  # u
                code = _four_digits(text, at + 2)
                if code < 0x80:
                    if code < 0:
                        return WRONG
                    flags |= DISGUISED
                at += 6
                if code & 0xF800 == 0xD800:
                    if code >= 0xDC00 or byte_at(text, at) != _BACKSLASH or byte_at(text, at + 1) != 0x75:
                        return WRONG
                    if _four_digits(text, at + 2) & 0xFC00 != 0xDC00:  # also true of -1
                        return WRONG
                    at += 6
            elif _is_short_escape(byte_at(text, at + 1)):
                at += 2
            else:
                return WRONG
        elif byte < 0x20:
            return WRONG
        else:
            while byte >= 0x80:
                at = _after_character(text, at, byte)
                if at < 0:
                    return WRONG
                byte = byte_at(text, at)


@kernel
def key_end(text: Any, at: int) -> int:
    """Skip from an object's key to the value after its colon; the value's place, or WRONG."""
    if byte_at(text, at) != _QUOTE:
        return WRONG
    end = string_end(text, at + 1)
    return WRONG if end < 0 else after_colon(text, (end >> 2) + 1)


@kernel
def after_colon(text: Any, at: int) -> int:
    """Skip from just after a key to its value; the value's place, or WRONG."""
    at = after_space(text, at)
    return after_space(text, at + 1) if byte_at(text, at) == _COLON else WRONG


@kernel
def value_end(text: Any, at: int, room: int) -> int:
    """Skip any value; the place after it, or WRONG, also if it nests more than ``room`` (at most 64) levels deep."""
    depth = 0
    objects = np.uint64(0)  # a bit per enclosing level, the innermost lowest: is it an object?
    while True:
        byte = byte_at(text, at)
        if byte == _QUOTE:
            at = string_end(text, at + 1)
            if at < 0:
                return WRONG
            at = (at >> 2) + 1
        elif byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            if depth == room:
                return WRONG
            at = after_space(text, at + 1)
            if byte_at(text, at) == byte + 2:  # closed at once
                at += 1
            else:
                depth += 1
                objects <<= np.uint64(1)
                if byte == _OPEN_OBJECT:
                    objects |= np.uint64(1)
                    at = key_end(text, at)
                    if at < 0:
                        return WRONG
                continue
        else:
            at = _scalar_end(text, at, byte)
            if at < 0:
                return WRONG
        while True:
            if depth == 0:
                return at
            at = after_space(text, at)
            byte = byte_at(text, at)
            is_object = objects & np.uint64(1)
            if byte == _COMMA:
                at = after_space(text, at + 1)
                if is_object:
                    at = key_end(text, at)
                    if at < 0:
                        return WRONG
                break
            if byte != (_CLOSE_OBJECT if is_object else _CLOSE_ARRAY):
                return WRONG
            at += 1
            depth -= 1
            objects >>= np.uint64(1)


@kernel
def _scalar_end(text: Any, at: int, byte: int) -> int:
    if byte == _MINUS or _ZERO <= byte <= _NINE:
        return _number_end(text, at)
    word = half_word_at(text, at)
    if word in (_NULL, _TRUE):
        return at + 4
    return at + 5 if byte == 0x66 and half_word_at(text, at + 1) == _ALSE else WRONG


@kernel
def _number_end(text: Any, at: int) -> int:
    if byte_at(text, at) == _MINUS:
        at += 1
    if byte_at(text, at) == _ZERO:
        at += 1
    else:
        at = _digits_end(text, at)
    if at > 0 and byte_at(text, at) == _DOT:
        at = _digits_end(text, at + 1)
    if at > 0 and byte_at(text, at) | 0x20 == 0x65:  # e
        at += 1
        if byte_at(text, at) == _MINUS or byte_at(text, at) == 0x2B:
            at += 1
        at = _digits_end(text, at)
    return at


@kernel
def _digits_end(text: Any, at: int) -> int:
    """Skip one or more digits; the place after them, or WRONG."""
    start = at
    while _ZERO <= byte_at(text, at) <= _NINE:
        at += 1
    return at if at > start else WRONG


@kernel
def _is_short_escape(byte: int) -> bool:
    return (
        byte == _QUOTE
        or byte == _BACKSLASH
        or byte == 0x2F  # /
        or byte == 0x62  # b
        or byte == 0x66  # f
        or byte == 0x6E  # n
        or byte == 0x72  # r
        or byte == 0x74  # t
    )


@kernel
def _four_digits(text: Any, at: int) -> int:
    """Return the number that four hexadecimal digits stand for, or WRONG."""
    code = 0
    for i in range(at, at + 4):
        byte = byte_at(text, i)
        if _ZERO <= byte <= _NINE:
            digit = byte - _ZERO
        else:
            digit = (byte | 0x20) - 0x61 + 10
            if digit < 10 or digit > 15:
                return WRONG
        code = code << 4 | digit
    return code


@kernel
def _after_character(text: Any, at: int, lead: int) -> int:
    """Skip a character of two to four bytes of UTF-8 (Unicode 15, table 3-7); the place after it, or WRONG."""
    if lead < 0xC2 or lead > 0xF4:
        return WRONG
    second = byte_at(text, at + 1)
    low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
    high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
    if second < low or second > high:
        return WRONG
    if lead < 0xE0:
        return at + 2
    if byte_at(text, at + 2) & 0xC0 != 0x80:
        return WRONG
    if lead < 0xF0:
        return at + 3
    return at + 4 if byte_at(text, at + 3) & 0xC0 == 0x80 else WRONG
