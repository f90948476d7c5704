"""What is wrong with training rows before anything is trained on them: in words for the person who made them.

Guarantees: refuses rows that no classifier can be fitted to; everything else is reported and left in or out as told.
Leaves to others: showing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.churn.encode import Columns

LEAKING_AUC = 0.985
"""A single column that tells the classes apart this well has usually been written after the fact."""

FEWEST_OF_A_CLASS = 20


class AbsentClassError(ValueError):
    """There is nothing to tell apart."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """Attributes
    ----------
    n_rows, n_positive : rows, and those with the label
    constant : columns with one value
    missing : columns without any value
    leaking : column -> AUC of the column by itself, where it is suspiciously good
    """

    n_rows: int
    n_positive: int
    constant: tuple[str, ...]
    missing: tuple[str, ...]
    leaking: dict[str, float]

    @property
    def unusable(self) -> frozenset[str]:
        """Columns that teach nothing; a leaking one is not among them, because only a person can tell."""
        return frozenset(self.constant + self.missing)

    def sentences(self) -> list[str]:
        """For people; empty when nothing is wrong."""
        said = [f"{name} has no value in any row" for name in self.missing]
        said += [f"{name} has the same value in every row" for name in self.constant]
        said += [
            f"{name} alone tells the classes apart (AUC {auc:.3f}): was it known at the cutoff?"
            for name, auc in self.leaking.items()
        ]
        return said


def report(columns: Columns, label: NDArray[np.bool_]) -> DataReport:
    """Look at training rows.

    Parameters
    ----------
    columns : name -> numbers or words, each of shape (n_rows,)
    label : bool, shape (n_rows,)

    Raises
    ------
    AbsentClassError
        With fewer than 20 rows of either class.
    ValueError
        For a column of another length.

    Examples
    --------
    >>> label = np.arange(100) % 2 == 0
    >>> report({"plan": np.full(100, "free"), "refunded": label * 1.0}, label).sentences()[0]
    'plan has the same value in every row'
    """
    n, positive = len(label), int(label.sum())
    for name, column in columns.items():
        if len(column) != n:
            raise ValueError(f"{name} has {len(column)} rows, the label {n}")
    if min(positive, n - positive) < FEWEST_OF_A_CLASS:
        raise AbsentClassError(f"{positive} of {n} rows have the label; both kinds need {FEWEST_OF_A_CLASS}")
    constant, missing, leaking = [], [], {}
    for name, column in columns.items():
        values = _orderable(np.asarray(column), label)
        known = np.isfinite(values)
        if not known.any():
            missing.append(name)
        elif known.all() and (values == values[0]).all():
            constant.append(name)
        else:
            auc = _auc(np.where(known, values, values[known].min() - 1), label)
            if max(auc, 1 - auc) >= LEAKING_AUC:
                leaking[name] = round(max(auc, 1 - auc), 4)
    return DataReport(n, positive, tuple(constant), tuple(missing), leaking)


def _orderable(column: NDArray[Any], label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Numbers as they are; of words the share of the label, shrunk so that rare words do not look like leaks."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    values, at = np.unique(column.astype(str), return_inverse=True)
    if len(values) == 1:
        return np.zeros(len(column))
    shares = (np.bincount(at, label) + 5 * label.mean()) / (np.bincount(at) + 5)
    return np.asarray(shares[at], np.float64)


def _auc(score: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half."""
    _, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[at]
    n = int(label.sum())
    return float((rank[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))
