"""Holds one column of a chunk of rows, as an Arrow array or as Python values.

Parquet and CSV give Arrow arrays, on which times and money are computed without a Python object per row; JSON lines
give Python values, which become an array only if all have one type. NaN counts as null everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .arrow_values import json_values
from .written import as_boolean, as_integer, as_number, as_text


class Column:
    """Values of one column; ``array`` is None if the values have mixed or nested types."""

    def __init__(self, array: pa.Array | None, values: list[Any] | None = None) -> None:
        self.array = array
        self._values = values

    @classmethod
    def of_values(cls, values: list[Any]) -> Column:
        """Make a column of Python values, with an Arrow array if they all have one type."""
        try:
            return cls(pa.array(values), values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return cls(None, values)

    def __len__(self) -> int:
        return len(self.array) if self.array is not None else len(self._values or ())

    def values(self) -> list[Any]:
        """Return Python values, with None for null and NaN."""
        if self._values is None:
            assert self.array is not None
            self._values = json_values(self.array)
        return self._values

    def is_null(self) -> NDArray[np.bool_]:
        """Return bool[n], true where the value is null or NaN."""
        if self.array is not None:
            array = self.array.cast(pa.float32()) if pa.types.is_float16(self.array.type) else self.array
            return np.asarray(pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False), bool)
        return np.array([v is None for v in self.values()], dtype=bool)

    def keep(self, mask: NDArray[np.bool_]) -> Column:
        """Return the column's rows where ``mask`` (bool[n]) is true."""
        if self.array is not None:
            return Column(self.array.filter(pa.array(mask)))
        return Column(None, [v for v, kept in zip(self.values(), mask.tolist(), strict=True) if kept])

    @property
    def is_text(self) -> bool:
        return self.array is not None and (
            pa.types.is_string(self.array.type) or pa.types.is_large_string(self.array.type)
        )


def converted(column: Column, kind: str | None) -> list[Any]:
    """Return the column's values as ``kind``; a value that cannot be converted is kept as it is, so that nothing is
    lost.
    """
    if kind is None:
        return column.values()
    convert = _CONVERT[kind]
    return [None if v is None else convert(v) for v in column.values()]


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "text": as_text,
    "integer": as_integer,
    "number": as_number,
    "boolean": as_boolean,
}
