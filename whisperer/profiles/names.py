"""Give a tenant's distinct strings in one shard codes of 16 bits, and retire strings that are hardly used.

Anyone with a write key can send strings, so the table is bounded; once it is full, a new string reads as the *overflow*
string, code 0. The last codes are reserved for *pinned* strings: built-in names and those that published configuration
uses. When codes run short, the least used strings are *retired*: from then on they read as the overflow string, and
once no column holds their codes (:meth:`.Population.let_names_go`), the codes are free. So a code never stands for two
strings, and what a reader sees does not depend on how far a sweep has come.

Which strings go depends on their uses alone. Uses are halved each time, so what was popular long ago goes eventually.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MAX_NAMES = 1 << 16
RESERVED = 1 / 64
"""Share of the codes that only pinned strings get: 1,024 codes."""
SHORT = 1 / 8
"""Strings are retired when a smaller share of the codes is free ..."""
WANTED = 1 / 4
"""... until this share is free: 16,384 codes."""


class Uses(msgspec.Struct, array_like=True):
    """Hold what a snapshot has of a table besides its strings: uses as int64 bytes, free codes, retired codes."""

    uses: bytes = b""
    free: list[int] = []
    retired: list[int] = []


class Names:
    """Map strings to codes and back; ``limit`` is the number of codes, ``overflow``'s included, or None: MAX_NAMES."""

    __slots__ = ("_codes", "_free", "_limit", "_overflow", "_retired", "_uses", "keeps_room", "pinned", "texts")

    def __init__(self, overflow: str, limit: int | None = None) -> None:
        self._overflow = overflow
        self._limit = MAX_NAMES if limit is None else limit
        self.texts = [overflow]
        """The string of each code; the overflow string for a free or retired code."""
        self._codes = {overflow: 0}
        self._uses = np.zeros(1, np.int64)
        self._free: list[int] = []
        self._retired: list[int] = []
        self.pinned: Set[str] = frozenset()
        self.keeps_room = True
        """Whether codes are reserved: before record version 5, all codes went to the strings that came first."""

    def __len__(self) -> int:
        """Return the number of codes in use, retired ones included."""
        return len(self.texts) - len(self._free)

    @property
    def n_free(self) -> int:
        """Codes that are free, reserved ones included."""
        return self._limit - len(self)

    @property
    def retired(self) -> NDArray[np.bool_]:
        """Mask of the codes that columns may still hold and nobody reads."""
        mask = np.zeros(len(self.texts), np.bool_)
        mask[self._retired] = True
        return mask

    def code(self, text: str) -> int:
        """Return the code of a string, giving it one if it has none; 0 if there is no code left for it."""
        code = self._codes.get(text)
        return self._register(text) if code is None else code

    def find(self, text: str) -> int | None:
        """Return the code of a string; None if it has none."""
        return self._codes.get(text)

    def codes(self, texts: list[str]) -> NDArray[np.int64]:
        """Return :meth:`code` of each string, shape (len(texts),)."""
        return np.fromiter(map(self.code, texts), np.int64, len(texts))

    def _register(self, text: str) -> int:
        kept = int(self._limit * RESERVED) if self.keeps_room and text not in self.pinned else 0
        if self.n_free <= kept:
            return 0
        if self._free:
            code = self._free.pop()
            self.texts[code] = text
        else:
            code = len(self.texts)
            self.texts.append(text)
        self._codes[text] = code
        return code

    def use(self, codes: NDArray[np.int64], counts: NDArray[np.int64] | None = None) -> None:
        """Count that codes were used, once each or ``counts`` times; codes may repeat."""
        if len(self._uses) < len(self.texts):
            grown = np.zeros(max(64, 2 * len(self.texts)), np.int64)
            grown[: len(self._uses)] = self._uses
            self._uses = grown
        if counts is None:
            found = np.bincount(codes)
            self._uses[: len(found)] += found
        else:
            np.add.at(self._uses, codes, counts)

    # -- letting go ---------------------------------------------------------------------------------------------------

    @property
    def is_short(self) -> bool:
        """Whether so few codes are free that strings should be retired."""
        return self.n_free < self._limit * SHORT

    def retire(self) -> int:
        """Retire the least used strings, lower codes first on ties, and return how many. Sweep, then :meth:`free`."""
        self.use(np.empty(0, np.int64))  # makes it as long as the texts
        uses = self._uses[: len(self.texts)]
        stays = np.zeros(len(self.texts), np.bool_)
        stays[0] = True
        stays[self._free] = True
        stays[self._retired] = True
        for text in self.pinned:
            code = self._codes.get(text)
            if code is not None:
                stays[code] = True
        order = np.argsort(np.where(stays, np.iinfo(np.int64).max, uses), kind="stable")
        n = max(0, min(int(self._limit * WANTED) - self.n_free, len(order) - int(np.count_nonzero(stays))))
        for code in order[:n].tolist():
            del self._codes[self.texts[code]]
            self.texts[code] = self._overflow
            self._retired.append(code)
        uses[self._retired] = 0
        uses >>= 1
        return n

    def free(self) -> None:
        """Free the retired codes, once no column holds them any more."""
        self._free += self._retired[::-1]
        self._retired = []

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def dump(self) -> Uses:
        """Return what a snapshot stores besides :attr:`texts`."""
        self.use(np.empty(0, np.int64))
        return Uses(self._uses[: len(self.texts)].tobytes(), list(self._free), list(self._retired))

    def load(self, texts: list[str], stored: Uses) -> None:
        """Restore exactly what was dumped."""
        self.texts = list(texts)
        self._free, self._retired = list(stored.free), list(stored.retired)
        nobody = {*self._free, *self._retired}
        self._codes = {text: code for code, text in enumerate(texts) if code not in nobody}
        self._uses = np.zeros(max(64, 2 * len(texts)), np.int64)
        found = np.frombuffer(stored.uses, np.int64)
        self._uses[: len(found)] = found


def counted(codes: NDArray[Any], counts: NDArray[Any] | int, n: int) -> Uses:
    """Derive the uses of a table that an earlier release stored without them, from the counts in its columns."""
    uses = np.zeros(n, np.int64)
    np.add.at(uses, codes, counts)
    return Uses(uses.tobytes())
