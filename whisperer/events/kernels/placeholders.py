"""Recognise ids that stand for nobody: what programs without an id write (``undefined``, ``null``, ``0``, zero UUIDs).

Everybody's events carry the same ones, so an event is kept under such an id but never joins it to another: that would
turn strangers into one person. Case does not matter, nor do blanks and quotes around the id; ids of only zeros and
hyphens are always placeholders. The installation's settings can add more. This is decided before an event is journaled,
so that changing the list does not change the past.

The list holds what other products' clients are known to send, except texts that are somebody's name or number
somewhere (``na``, ``test``, ``1``): a real id on the list would lose its merges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import byte_at, kernel

PLACEHOLDER_IDS = (
    "-1",
    "[]",
    "[object object]",
    "anon",
    "anonymous",
    "distinct_id",
    "distinctid",
    "email",
    "false",
    "guest",
    "id",
    "n/a",
    "nan",
    "nil",
    "none",
    "not_authenticated",
    "null",
    "true",
    "undefined",
    "unknown",
    "{}",
)
"""Lower case, as they are compared."""

MAX_CHARS = 64
"""Characters of an entry, at most."""

_AROUND = " \t\r\n\v\f\"'`\u00a0\u2000\u200b\u200c\u200d\u2060\ufeff"
_ZEROS = "0-"
_ZERO, _HYPHEN, _BLANK, _A, _Z, _CASE = ord("0"), ord("-"), 0x20, ord("A"), ord("Z"), 0x20
_QUOTES = (ord('"'), ord("'"), ord("`"))

Packed = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Hold placeholder ids: ``texts`` as compared; ``packed`` for kernels: bytes, starts, first text of each length."""

    texts: frozenset[str]
    packed: Packed

    @classmethod
    def of(cls, ids: Iterable[str]) -> Placeholders:
        """Make a list of these ids.

        Raises
        ------
        ValueError : an entry does not have 1 to 64 ASCII characters
        """
        ids = list(ids)
        for given in ids:
            if not (given.isascii() and 0 < len(given) <= MAX_CHARS):
                raise ValueError(f"a placeholder id has 1 to {MAX_CHARS} ASCII characters, unlike {given!r}")
        texts = sorted({normal_form(given) for given in ids}, key=lambda text: (len(text), text))
        starts = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        first = np.searchsorted([len(text) for text in texts], np.arange(MAX_CHARS + 2)).astype(np.int64)
        letters = np.frombuffer("".join(texts).encode() or b"\0", np.uint8)
        return cls(frozenset(texts), (letters, starts, first))

    @classmethod
    def listed(cls, text: str) -> Placeholders:
        """Make a list of comma-separated ids, as settings hold them. Raises ValueError as :meth:`of` does."""
        return cls.of(entry.strip() for entry in text.split(",") if entry.strip())

    def __contains__(self, text: str) -> bool:
        """Check if an id is a placeholder."""
        form = normal_form(text)
        return form in self.texts or not form.strip(_ZEROS)


def normal_form(text: str) -> str:
    """Return an id as it is compared: lower case, without blanks and quotes around it."""
    return text.strip(_AROUND).lower()


@kernel
def may_be_placeholder(packed: Any, text: Any, at: int, n: int) -> bool:
    """Return False only if an id is not a placeholder; the exact way decides about ids in blanks or quotes."""
    first, last = byte_at(text, at), byte_at(text, at + n - 1)
    if first <= _BLANK or last <= _BLANK or first in _QUOTES or last in _QUOTES or first in (0xC2, 0xE2, 0xEF):
        return True
    if n > 2 and (byte_at(text, at + n - 2) == 0xC2 or byte_at(text, at + n - 3) in (0xE2, 0xEF)):
        return True
    if first in (_ZERO, _HYPHEN):
        place = 0
        while place < n and (byte_at(text, at + place) == _ZERO or byte_at(text, at + place) == _HYPHEN):
            place += 1
        if place == n:
            return True
    letters, starts, by_length = packed
    if n > MAX_CHARS:
        return False
    for i in range(by_length[n], by_length[n + 1]):
        place = 0
        while place < n:
            byte = byte_at(text, at + place)
            if _A <= byte <= _Z:
                byte |= _CASE
            if byte != letters[starts[i] + place]:
                break
            place += 1
        if place == n:
            return True
    return False


DEFAULT = Placeholders.of(PLACEHOLDER_IDS)
