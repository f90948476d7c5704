"""An append-only log whose entries are chained by row: what happened to one user, without an index.

Each entry points to the row's entry before it; the row's newest entry is kept in ``head``. Appending a batch is
vectorised, reading one row costs its own entries only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles.columns import Table

NONE = -1


class ChainedLog:
    """Entries with the columns of ``spec`` plus ``row`` and ``prev``."""

    def __init__(self, spec: Mapping[str, tuple[Any, Any]]) -> None:
        self.entries = Table({**spec, "row": (np.int32, 0), "prev": (np.int32, NONE)})
        self.head: NDArray[np.int32] = np.full(64, NONE, np.int32)

    def __len__(self) -> int:
        return self.entries.n

    @property
    def nbytes(self) -> int:
        return self.entries.nbytes + self.head.nbytes

    def append(self, rows: NDArray[np.int64], **values: Any) -> NDArray[np.int64]:
        """Add one entry for each of ``rows`` (in order); entry numbers."""
        if not rows.size:
            return np.empty(0, np.int64)
        self._reach(int(rows.max()) + 1)
        numbers = self.entries.extend(len(rows))
        for name, value in values.items():
            self.entries[name][numbers] = value
        self.entries["row"][numbers] = rows
        self._link(rows, numbers)
        return numbers

    def of(self, row: int) -> NDArray[np.int64]:
        """Entry numbers of a row, newest first."""
        found = []
        prev = self.entries["prev"]
        entry = int(self.head[row]) if row < len(self.head) else NONE
        while entry != NONE:
            found.append(entry)
            entry = int(prev[entry])
        return np.array(found, np.int64)

    def clear(self, row: int) -> None:
        """Forget a row's entries; their space is reclaimed by the next :meth:`keep`."""
        if row < len(self.head):
            self.entries["row"][self.of(row)] = NONE
            self.head[row] = NONE

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the entries where ``mask`` (shape (n,)) is false, keeping their order."""
        kept = {name: self.entries[name][: self.entries.n][mask] for name in self.entries.names}
        self._replace(kept)

    def dump(self) -> dict[str, NDArray[Any]]:
        return {name: self.entries[name][: self.entries.n].copy() for name in self.entries.names if name != "prev"}

    def load(self, stored: Mapping[str, NDArray[Any]]) -> None:
        self._replace(dict(stored))

    def _replace(self, columns: dict[str, NDArray[Any]]) -> None:
        columns.pop("prev", None)
        rows = columns["row"].astype(np.int64)
        self.entries.n = 0
        numbers = self.entries.extend(len(rows))
        for name, values in columns.items():
            self.entries.load(name, values)
        self.entries["prev"][: len(rows)] = NONE
        self.head[:] = NONE
        live = rows >= 0
        if live.any():
            self._reach(int(rows.max()) + 1)
            self._link(rows[live], numbers[live])

    def _reach(self, n_rows: int) -> None:
        if n_rows > len(self.head):
            grown = np.full(max(n_rows, len(self.head) + len(self.head) // 2), NONE, np.int32)
            grown[: len(self.head)] = self.head
            self.head = grown

    def _link(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        order = np.argsort(rows, kind="stable")
        sorted_rows, sorted_numbers = rows[order], numbers[order]
        first = np.empty(len(rows), np.bool_)
        first[0] = True
        np.not_equal(sorted_rows[1:], sorted_rows[:-1], out=first[1:])
        before = np.empty(len(rows), np.int32)
        before[1:] = sorted_numbers[:-1]
        before[first] = self.head[sorted_rows[first]]
        self.entries["prev"][sorted_numbers] = before
        last = np.append(np.flatnonzero(first)[1:] - 1, len(rows) - 1)
        self.head[sorted_rows[last]] = sorted_numbers[last]
