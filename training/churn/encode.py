"""Encode named columns, numbers and words, as one matrix of float64.

Guarantees: the encoding is plain data; a category that training did not see is all zeros, a missing number is NaN;
columns come in the order of training, whatever that of the input. Leaves to others: how a model treats NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.errors import InputError

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

FEWEST = 5
"""Rows a category needs to have a column of its own."""


class ColumnError(InputError):
    """Raised if a column that the model needs is missing."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How columns become a matrix.

    Attributes
    ----------
    numbers : columns taken as they are
    categories : column -> its values, each of which becomes a column of 0 and 1
    """

    numbers: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def learn(cls, columns: Columns) -> Encoding:
        """Learn the encoding; numbers and booleans count as numbers, everything else as words."""
        numbers = tuple(name for name, column in columns.items() if np.asarray(column).dtype.kind in "biuf")
        categories = {}
        for name in columns:
            if name not in numbers:
                values, counts = np.unique(np.asarray(columns[name]).astype(str), return_counts=True)
                categories[name] = tuple(str(value) for value in values[counts >= FEWEST])
        return cls(numbers, categories)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return self.numbers + tuple(f"{name}={value}" for name, values in self.categories.items() for value in values)

    def matrix(self, columns: Columns) -> Floats:
        """Return the matrix, shape (n_rows, len(names)).

        Raises
        ------
        ColumnError
            For a missing column that training had.
        """
        missing = [name for name in (*self.numbers, *self.categories) if name not in columns]
        if missing:
            raise ColumnError(f"missing: {', '.join(missing)}")
        made = [np.asarray(columns[name], np.float64) for name in self.numbers]
        for name, values in self.categories.items():
            column = np.asarray(columns[name]).astype(str)
            made.extend((column == value).astype(np.float64) for value in values)
        matrix = np.column_stack(made)
        matrix[~np.isfinite(matrix)] = np.nan
        return matrix
