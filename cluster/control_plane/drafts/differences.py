"""Compares two JSON documents: a change for each place that differs, and a line by line comparison of long texts.

Guarantees: doing the changes to the first document, in their order, gives the second. Objects are compared member by
member and lists place by place. At most :data:`MAX_CHANGES` are listed; only texts of at most :data:`MAX_LINES` lines
are compared by line, because the time for that grows with the square.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal

import msgspec

MAX_CHANGES = 1_000
MAX_LINES = 500
"""Of a text, to be compared line by line."""
CONTEXT = 3
"""Lines shown around those that changed."""


class Change(msgspec.Struct, kw_only=True):
    """What differs at one place.

    Attributes
    ----------
    pointer : JSON Pointer (RFC 6901); "" is the whole
    before, after : absent where there was, or is, nothing
    lines : of two texts of which one has several lines: as in a unified diff
    """

    pointer: str
    op: Literal["added", "removed", "changed"]
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET
    lines: list[str] | msgspec.UnsetType = msgspec.UNSET


def changes(before: Any, after: Any) -> tuple[list[Change], bool]:
    """Return what differs, and whether there is more than is listed. UNSET stands for nothing at all."""
    found: list[Change] = []
    _compare("", before, after, found)
    return found[:MAX_CHANGES], len(found) > MAX_CHANGES


def line_by_line(before: str, after: str) -> list[str] | None:
    """Return the lines of a unified diff without its heading; None if the texts are too long for one."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MAX_LINES:
        return None
    return list(difflib.unified_diff(old, new, lineterm="", n=CONTEXT))[2:]


def _compare(pointer: str, before: Any, after: Any, found: list[Change]) -> None:
    if len(found) > MAX_CHANGES or _same(before, after):
        return
    if before is msgspec.UNSET:
        found.append(Change(pointer=pointer, op="added", after=after))
    elif after is msgspec.UNSET:
        found.append(Change(pointer=pointer, op="removed", before=before))
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            place = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            _compare(place, before.get(key, msgspec.UNSET), after.get(key, msgspec.UNSET), found)
    elif isinstance(before, list) and isinstance(after, list):
        for at in range(min(len(before), len(after))):
            _compare(f"{pointer}/{at}", before[at], after[at], found)
        for at in range(len(before), len(after)):
            _compare(f"{pointer}/{at}", msgspec.UNSET, after[at], found)
        for at in reversed(range(len(after), len(before))):  # from the end, so that no later place moves
            _compare(f"{pointer}/{at}", before[at], msgspec.UNSET, found)
    else:
        found.append(Change(pointer=pointer, op="changed", before=before, after=after, lines=_lines(before, after)))


def _lines(before: Any, after: Any) -> list[str] | msgspec.UnsetType:
    if not isinstance(before, str) or not isinstance(after, str) or "\n" not in before + after:
        return msgspec.UNSET
    return line_by_line(before, after) or msgspec.UNSET


def _same(before: Any, after: Any) -> bool:
    """Return whether two JSON values are the same; true is not 1, and 1 is not 1.0, which is stored differently."""
    if type(before) is not type(after):
        return False
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(value, after[key]) for key, value in before.items())
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_same, before, after))
    return bool(before == after)
