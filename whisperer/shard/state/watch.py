"""Track which of a tenant's users changed since they were copied, so that a partition is copied while it serves.

Code that changes a user reports it (:meth:`whisperer.shard.state.tenant.Tenant.touch`); a row is *clean* while its copy
is still current. A needless report costs a second copy, a missing one would lose a change, so changes are reported
early. Not part of the shard's state: a copy interrupted by a crash starts afresh.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.ids import UserKey


class Watch:
    """Record the changes that a copy has not seen."""

    def __init__(self) -> None:
        self._clean = np.zeros(1024, np.bool_)
        self.gone: list[UserKey] = []
        """Keys erased since the last part was packed."""
        self.owners: list[UserKey] = []
        """Anonymous keys that got an owner since the copy began."""

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Mark rows as changed."""
        self._clean[rows[rows < len(self._clean)]] = False

    def touch_one(self, row: int) -> None:
        """Mark one row as changed."""
        if row < len(self._clean):
            self._clean[row] = False

    def copied(self, rows: NDArray[np.int64]) -> None:
        """Mark rows as clean: the copy has them as they are now."""
        if rows.size and rows.max() >= len(self._clean):
            grown = np.zeros(int(rows.max()) * 3 // 2 + 1, np.bool_)
            grown[: len(self._clean)] = self._clean
            self._clean = grown
        self._clean[rows] = True

    def changed(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the rows that are not clean."""
        inside = rows < len(self._clean)
        clean = np.zeros(len(rows), np.bool_)
        clean[inside] = self._clean[rows[inside]]
        return rows[~clean]
