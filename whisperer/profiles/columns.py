"""Store growing columns with one row per user.

All columns of a table share one length and one capacity, so a row number means the same in each. Columns that every
event touches are packed into one record per row (``records``), which is one or two cache lines instead of a dozen;
those that are scanned over all rows, and those that come and go, are separate.

An array obtained from a table is valid until rows are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles.growth import blank, lengthen, lengthened, roomy

Spec = Mapping[str, tuple[Any, Any] | tuple[Any, Any, int]]


class Table:
    """Hold columns; ``spec`` and ``packed`` map a column to (dtype, value of a new row[, width]).

    Packed columns whose names start with an underscore are not in :attr:`names`: how their owner organises its data is
    not part of the state.
    """

    def __init__(self, spec: Spec, packed: Spec | None = None) -> None:
        self.n = 0
        self._spec = {name: (np.dtype(s[0]), s[1], s[2] if len(s) == 3 else 0) for name, s in spec.items()}
        self._columns = {name: blank(0, dtype, width) for name, (dtype, _, width) in self._spec.items()}
        packed = packed or {}
        dtype = np.dtype([(name, s[0]) for name, s in packed.items()], align=True)
        self._blank = np.array([tuple(s[1] for s in packed.values())], dtype)[0] if packed else None
        self.records: NDArray[Any] = blank(0, dtype)
        self._packed = frozenset(packed)
        self._capacity = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column; rows from ``n`` on are undefined. A packed column is a view with gaps between the values."""
        found: NDArray[Any] = self.records[name] if name in self._packed else self._columns[name]
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._packed or name in self._columns

    @property
    def nbytes(self) -> int:
        """Bytes in use; room to grow does not take memory yet."""
        return self.records[: self.n].nbytes + sum(column[: self.n].nbytes for column in self._columns.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are part of the state."""
        return (*(name for name in self.records.dtype.names or () if name[0] != "_"), *self._columns)

    def add_column(self, name: str, dtype: Any, value: Any) -> None:
        """Add a separate column, with ``value`` in every row, present and future."""
        self._spec[name] = (np.dtype(dtype), value, 0)
        self._columns[name] = blank(self._capacity, dtype)
        if value:
            self._columns[name][: self.n] = value

    def drop_column(self, name: str) -> None:
        """Drop a separate column."""
        del self._spec[name], self._columns[name]

    def widen(self, name: str, dtype: Any) -> None:
        """Give a column a larger integer type: exact counts never saturate."""
        _, value, width = self._spec[name]
        self._spec[name] = (np.dtype(dtype), value, width)
        wider = blank(self._capacity, dtype, width)
        wider[: self.n] = self._columns[name][: self.n]
        self._columns[name] = wider

    def extend(self, count: int) -> NDArray[np.int64]:
        """Add ``count`` blank rows and return their numbers."""
        start, stop = self.n, self.n + count
        if stop > self._capacity:
            self._capacity = roomy(stop)
            # Popped while it grows: that happens in place only if nobody else holds it.
            self._columns = {name: lengthened(self._columns.pop(name), self._capacity) for name in self._spec}
            lengthen(self, "records", self._capacity)
        for name, (_, value, _) in self._spec.items():
            if value:  # unused rows are already zero
                self._columns[name][start:stop] = value
        if self._blank is not None:
            self.records[start:stop] = self._blank
        self.n = stop
        return np.arange(start, stop)

    def reset(self, row: int) -> None:
        """Reset a row as if it were new, except the packed columns that their owners manage."""
        for name, (_, value, _width) in self._spec.items():
            self._columns[name][row] = value
        for name in self._packed:
            if name[0] != "_":
                self.records[name][row] = self._blank[name]  # type: ignore[index]

    def load(self, name: str, values: NDArray[Any]) -> None:
        """Fill the first rows of a column from stored values, widening the column if their type is wider."""
        if name not in self._packed and values.dtype.itemsize > self._columns[name].dtype.itemsize:
            self.widen(name, values.dtype)
        self[name][: len(values)] = values
