"""Remember the texts of traits that users were looked for by, so that the next search reads one array and no pages.

A column is not part of the state: it is filled as it is used, row by row, and what changes in a profile is read again.
At most :data:`MAX_COLUMNS` are kept of a tenant, those used last, and none larger than :data:`MAX_COLUMN_BYTES`: where
a trait's texts take more, they are read from the profiles each time. Memory: 13 bytes a row and the texts, up to twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import trait_texts
from whisperer.profiles.growth import blank, lengthen, roomy
from whisperer.profiles.pages import Stored
from whisperer.profiles.trait_texts import Texts

MAX_COLUMNS = 4
MAX_COLUMN_BYTES = 64 << 20
READ_AT_ONCE = 5_000
"""Users whose profiles are read in one slice: 5 ms."""


class TraitColumn:
    """Hold one trait's texts by row."""

    __slots__ = ("_at", "_known", "_length", "_live", "_text", "_used")

    def __init__(self) -> None:
        self._text: NDArray[np.uint8] = blank(roomy(0), np.uint8)
        self._at: NDArray[np.int64] = blank(roomy(0), np.int64)
        self._length: NDArray[np.int32] = blank(roomy(0), np.int32)
        self._known: NDArray[np.bool_] = blank(roomy(0), np.bool_)
        self._used = self._live = 0

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return self._used + 13 * len(self._known) // 2

    @property
    def is_worn(self) -> bool:
        """Whether it takes more than it may, or most of its texts are outdated."""
        return self.nbytes > MAX_COLUMN_BYTES or self._used > 2 * self._live + (1 << 20)

    def cover(self, n: int) -> None:
        """Have room for ``n`` rows."""
        if n > len(self._known):
            for name in ("_at", "_length", "_known"):
                lengthen(self, name, roomy(n))

    def forget(self, row: int) -> None:
        """Read a row again at the next use."""
        if row < len(self._known):
            self._known[row] = False

    def unknown(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the rows, covered all, that have not been read since they changed."""
        return rows[~self._known[rows]]

    def fill(self, rows: NDArray[np.int64], texts: Texts) -> None:
        """Store what was read of rows that were unknown."""
        text, at, length = texts
        if self._used + len(text) > len(self._text):
            lengthen(self, "_text", roomy(self._used + len(text)))
        self._text[self._used : self._used + len(text)] = text
        self._live += int(np.maximum(length, 0).sum()) - int(np.maximum(self._length[rows], 0).sum())
        self._at[rows], self._length[rows], self._known[rows] = at + self._used, length, True
        self._used += len(text)

    def of(self, rows: NDArray[np.int64]) -> Texts:
        """Return the texts of rows that are known."""
        return self._text, self._at[rows], self._length[rows].astype(np.int64)


class TraitColumns:
    """Hold the columns of one population."""

    def __init__(self) -> None:
        self._columns: OrderedDict[str, TraitColumn] = OrderedDict()
        """In the order of their last use."""

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(column.nbytes for column in self._columns.values())

    def changed(self, row: int, names: Collection[str]) -> None:
        """Note that these traits of a user changed."""
        if self._columns:
            for name in self._columns.keys() & names:
                self._columns[name].forget(row)

    def cleared(self, row: int) -> None:
        """Note that a user has no trait any more."""
        for column in self._columns.values():
            column.forget(row)

    def clear(self) -> None:
        """Let all columns go."""
        self._columns.clear()

    def use(self, name: str, n_rows: int) -> None:
        """Keep a trait's column from here on, instead of the one whose last use is longest ago."""
        column = self._columns.setdefault(name, TraitColumn())
        self._columns.move_to_end(name)
        column.cover(n_rows)
        while len(self._columns) > MAX_COLUMNS:
            self._columns.popitem(last=False)

    def unread(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the rows whose profiles :meth:`texts` would read."""
        column = self._columns.get(name)
        return rows if column is None else column.unknown(rows)

    def texts(self, traits: Sequence[Stored], name: str, rows: NDArray[np.int64]) -> Texts:
        """Return a trait's texts of these rows, reading from profiles what no column has.

        The rows are below what :meth:`use` was called with.
        """
        column = self._columns.get(name)
        if column is None:
            return trait_texts.read(traits, rows.tolist(), name)
        unknown = column.unknown(rows)
        if unknown.size:
            column.fill(unknown, trait_texts.read(traits, unknown.tolist(), name))
        found = column.of(rows)
        if column.is_worn:
            del self._columns[name]
        return found
