"""Report what is wrong with training rows before anything is trained on them: in words for the person who made them.

Guarantees: rows that no classifier can be fitted to are refused; everything else is reported, and left in or out as
documented. Leaves to others: showing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.churn.encode import Columns
from whisperer.errors import InputError

LEAKING_AUC = 0.985
"""A single column that separates the classes this well has usually been written after the fact."""

FEWEST_OF_A_CLASS = 20


class AbsentClassError(InputError):
    """Raised if there are not two classes to distinguish."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """What was noticed about the rows.

    Attributes
    ----------
    n_rows, n_positive : rows, and those with the label
    constant : columns with one value
    missing : columns without any value
    leaking : column -> AUC of the column by itself, if it is suspiciously good
    """

    n_rows: int
    n_positive: int
    constant: tuple[str, ...]
    missing: tuple[str, ...]
    leaking: dict[str, float]

    @property
    def unusable(self) -> frozenset[str]:
        """Columns that teach nothing; leaking ones are not among them, because only a person can judge."""
        return frozenset(self.constant + self.missing)

    def sentences(self) -> list[str]:
        """Describe what is wrong, for people; empty if nothing is."""
        said = [f"{name} has no value in any row" for name in self.missing]
        said += [f"{name} has the same value in every row" for name in self.constant]
        said += [
            f"{name} alone tells the classes apart (AUC {auc:.3f}): was it known at the cutoff?"
            for name, auc in self.leaking.items()
        ]
        return said


def report(columns: Columns, label: NDArray[np.bool_]) -> DataReport:
    """Examine training rows.

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
    """Return numbers as they are, and for words the share of the label, shrunk lest rare words look like leaks."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    values, at = np.unique(column.astype(str), return_inverse=True)
    if len(values) == 1:
        return np.zeros(len(column))
    shares = (np.bincount(at, label) + 5 * label.mean()) / (np.bincount(at) + 5)
    return np.asarray(shares[at], np.float64)


def _auc(score: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the chance that a positive row outranks a negative one; ties count half."""
    _, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[at]
    n = int(label.sum())
    return float((rank[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))
