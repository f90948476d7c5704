"""From named columns, numbers and words, to one matrix of float64.

Guarantees: the encoding is plain data; a category that training did not see is all zeros, a number that is missing is
NaN; columns come in the order of training, whatever that of the input. Leaves to others: what a model does with NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

FEWEST = 5
"""Rows a category needs to have a column of its own."""


class ColumnError(ValueError):
    """A column that the model needs is not there."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Attributes
    ----------
    numbers : columns taken as they are
    categories : column -> its values, each of which becomes a column of 0 and 1
    """

    numbers: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def learn(cls, columns: Columns) -> Encoding:
        """Numbers and booleans are numbers; everything else is words."""
        numbers = tuple(name for name, column in columns.items() if np.asarray(column).dtype.kind in "biuf")
        categories = {}
        for name in columns:
            if name not in numbers:
                values, counts = np.unique(np.asarray(columns[name]).astype(str), return_counts=True)
                categories[name] = tuple(str(value) for value in values[counts >= FEWEST])
        return cls(numbers, categories)

    @property
    def names(self) -> tuple[str, ...]:
        return self.numbers + tuple(f"{name}={value}" for name, values in self.categories.items() for value in values)

    def matrix(self, columns: Columns) -> Floats:
        """Shape (n_rows, len(names)).

        Raises
        ------
        ColumnError
            For a column that training had and that is missing.
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
