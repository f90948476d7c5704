"""Growing numpy columns with one row a user.

All columns of a table share one length and one capacity, so that a row number means the same in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Table:
    """Struct of arrays. ``spec`` maps a column to (dtype, value of a new row[, width])."""

    def __init__(self, spec: Mapping[str, tuple[Any, Any] | tuple[Any, Any, int]], capacity: int = 64) -> None:
        self.n = 0
        self._spec = {name: (np.dtype(s[0]), s[1], s[2] if len(s) == 3 else 0) for name, s in spec.items()}
        self._capacity = capacity
        self._columns: dict[str, NDArray[Any]] = {name: self._blank(name, capacity) for name in self._spec}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The column, as long as the table's capacity; rows beyond ``n`` hold the value of a new row."""
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self._columns.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._columns)

    def add_column(self, name: str, dtype: Any, blank: Any) -> None:
        self._spec[name] = (np.dtype(dtype), blank, 0)
        self._columns[name] = self._blank(name, self._capacity)

    def drop_column(self, name: str) -> None:
        del self._spec[name], self._columns[name]

    def widen(self, name: str, dtype: Any) -> None:
        """Give a column a larger integer type: exact counts never saturate."""
        _, blank, width = self._spec[name]
        self._spec[name] = (np.dtype(dtype), blank, width)
        self._columns[name] = self._columns[name].astype(dtype)

    def extend(self, count: int) -> NDArray[np.int64]:
        """Add ``count`` blank rows; their numbers."""
        start = self.n
        self.n += count
        if self.n > self._capacity:
            self._capacity = max(self.n, self._capacity + self._capacity // 2)
            for name, column in self._columns.items():
                grown = self._blank(name, self._capacity)
                grown[:start] = column[:start]
                self._columns[name] = grown
        return np.arange(start, self.n)

    def reset(self, row: int) -> None:
        """Make a row as if it were new."""
        for name, (_, blank, _width) in self._spec.items():
            self._columns[name][row] = blank

    def load(self, name: str, values: NDArray[Any]) -> None:
        """Fill the first rows of a column from stored values, taking over a wider integer type."""
        if values.dtype.itemsize > self._columns[name].dtype.itemsize:
            self.widen(name, values.dtype)
        self._columns[name][: len(values)] = values

    def _blank(self, name: str, capacity: int) -> NDArray[Any]:
        dtype, blank, width = self._spec[name]
        shape = (capacity, width) if width else (capacity,)
        return np.full(shape, blank, dtype)
