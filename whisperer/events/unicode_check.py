"""Find text that is not Unicode: bytes that are not UTF-8, and ``\\ud800``-style escapes without their other half.

msgspec checks neither in what it skips, and raises on a lone surrogate wherever it is, so one such event would cost
its whole batch. After a failed decode, every lone surrogate is therefore replaced with a mark of the same length: the
escape of a character that does not occur in the body. An event held a lone surrogate if and only if it holds the mark.
"""

from __future__ import annotations

import re

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
_MARKS = tuple(rb"\u%04x" % point for point in range(0xFDD0, 0xFDF0))  # noncharacters: not meant for text


def is_utf8(body: bytes) -> bool:
    """Check that bytes are UTF-8; quick for ASCII."""
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def mark_lone_surrogates(body: bytes) -> tuple[bytes, bytes] | None:
    """Replace each lone surrogate escape with a mark and return (body, mark); None if there is no such escape.

    Returns the body unchanged and an empty mark if every possible mark already occurs in it.
    """
    unescaped = body.replace(rb"\\", b"  ")  # an escaped backslash starts no escape; keeps the length
    places = [match.start() for match in _LONE_SURROGATE.finditer(unescaped)]
    if not places:
        return None
    lower = body.lower()
    mark = next((mark for mark in _MARKS if mark not in lower), None)
    if mark is None:
        return body, b""
    marked = bytearray(body)
    for place in places:
        marked[place : place + len(mark)] = mark
    return bytes(marked), mark
