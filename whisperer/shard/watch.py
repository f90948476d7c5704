"""Which of a tenant's users changed since they were copied: how a partition is copied while it goes on serving.

Whoever changes a user says so (:meth:`whisperer.shard.tenant.Tenant.touch`); a row is *clean* while what was copied
is still true. Too much said costs a second copy, too little would lose a change, so those who change say it early. Not
part of the shard's state: a copy that a crash interrupted begins anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Watch:
    def __init__(self) -> None:
        self._clean = np.zeros(1024, np.bool_)
        self.gone: list[str] = []
        """Keys erased since the last look."""
        self.owners: list[str] = []
        """Anonymous keys that found an owner."""

    def touch(self, rows: NDArray[np.int64]) -> None:
        self._clean[rows[rows < len(self._clean)]] = False

    def touch_one(self, row: int) -> None:
        if row < len(self._clean):
            self._clean[row] = False

    def copied(self, rows: NDArray[np.int64]) -> None:
        """These are known to whoever copies as they are now."""
        if rows.size and rows.max() >= len(self._clean):
            grown = np.zeros(int(rows.max()) * 3 // 2 + 1, np.bool_)
            grown[: len(self._clean)] = self._clean
            self._clean = grown
        self._clean[rows] = True

    def changed(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows that are not clean."""
        inside = rows < len(self._clean)
        clean = np.zeros(len(rows), np.bool_)
        clean[inside] = self._clean[rows[inside]]
        return rows[~clean]
