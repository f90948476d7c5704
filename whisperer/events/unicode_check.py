"""Text that is not Unicode: bytes that are not UTF-8, and ``\\ud800``-style escapes without their other half.

msgspec validates neither in what it skips, and raises on a lone surrogate wherever it is; one such event would take
its whole batch with it. So after a failed decode every lone surrogate is replaced, at the same length, by the escape
of a character that does not occur in the body. An event holds one if and only if it now holds that mark.
"""

from __future__ import annotations

import re

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
_MARKS = tuple(rb"\u%04x" % point for point in range(0xFDD0, 0xFDF0))  # noncharacters: nobody means these


def is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def mark_lone_surrogates(body: bytes) -> tuple[bytes, bytes] | None:
    """The body with each lone surrogate escape replaced by a mark, and the mark; None where there is none.

    Returns the body unmarked and an empty mark if every possible mark occurs in it already.
    """
    unescaped = body.replace(rb"\\", b"  ")  # an escaped backslash starts no escape; the length stays
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
