"""Make the data card: what rows are like before anything is learned from them, and what a person should look at.

Guarantees: every row is counted; rows from which no model can follow (a class absent, a label that never varies) are
refused; everything else, such as columns that say nothing or predict the label suspiciously well, is reported and left
in, because only a person can judge. Leaves to others: faults of uplift rows (:mod:`training.uplift.trial`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from training.churn.report import FEWEST_OF_A_CLASS, LEAKING_AUC
from training.dataset import CHURN, Dataset, RowsError

SAMPLE = 50_000
"""Rows on which a column's link with the label is measured."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``missing``: share of rows; ``low, mean, high`` of the others, NaN if there are none; ``link``: AUC
    of the column by itself, or Spearman's correlation squared if the label is a number."""

    name: str
    missing: float
    low: float
    mean: float
    high: float
    link: float

    @property
    def is_constant(self) -> bool:
        """Whether every row has the same value."""
        return self.missing == 0 and self.low == self.high


@dataclass(frozen=True, slots=True)
class DataCard:
    """What is known about the rows.

    Attributes
    ----------
    first, last : ms UTC of the oldest and the newest row, 0 if rows have no time
    label_mean, label_sd : of the label; for churn the mean is the share of users who left
    """

    kind: str
    n_rows: int
    n_users: int
    first: int
    last: int
    label_mean: float
    label_sd: float
    columns: tuple[Column, ...]

    @property
    def empty(self) -> tuple[str, ...]:
        """Names of columns without any value."""
        return tuple(column.name for column in self.columns if column.missing == 1)

    @property
    def constant(self) -> tuple[str, ...]:
        """Names of columns with the same value in every row."""
        return tuple(column.name for column in self.columns if column.is_constant)

    @property
    def leaking(self) -> dict[str, float]:
        """Columns that predict the label suspiciously well, with their link."""
        return {column.name: column.link for column in self.columns if column.link >= LEAKING_AUC}

    def sentences(self) -> list[str]:
        """Describe what is odd, for people; empty if nothing is."""
        said = [f"{name} has no value in any row." for name in self.empty]
        said += [f"{name} has the same value in every row." for name in self.constant]
        measure = "AUC" if self.kind == CHURN else "squared rank correlation"
        said += [
            f"{name} alone tells the label ({measure} {link:.3f}). If it was not known at the time of the row, leave"
            f" it out with --drop {name}."
            for name, link in self.leaking.items()
        ]
        if self.kind == CHURN and not 0.02 <= self.label_mean <= 0.98:
            said.append(f"{self.label_mean:.2%} of the rows are of users who left: accuracy says little here.")
        return said


def examine(data: Dataset, kind: str, seed: int = 0) -> DataCard:
    """Examine rows and make their card.

    Raises
    ------
    RowsError
        For fewer than 20 rows of a class (churn), or a label that never varies.
    """
    y = data.label
    if kind == CHURN and (rarest := int(min(y.sum(), len(y) - y.sum()))) < FEWEST_OF_A_CLASS:
        absent = "left" if y.sum() == rarest else "stayed"
        raise RowsError(
            f"only {rarest} of {len(y):,} rows are of users who {absent}; both kinds need {FEWEST_OF_A_CLASS}. Check"
            " the label, or take other cutoffs or another window"
        )
    if (y == y[0]).all():
        raise RowsError(f"the label is {y[0]:g} in every row: there is nothing to learn")
    rows = np.random.default_rng(seed).permutation(len(y))[:SAMPLE]
    sample = y[rows]
    columns = tuple(
        _column(name, data.x[:, place], data.x[rows, place], sample, kind) for place, name in enumerate(data.names)
    )
    return DataCard(
        kind,
        len(y),
        int(data.user.max()) + 1,
        int(data.time.min()),
        int(data.time.max()),
        float(y.mean()),
        float(y.std()),
        columns,
    )


def _column(
    name: str, values: NDArray[np.float32], some: NDArray[np.float32], label: NDArray[np.float64], kind: str
) -> Column:
    known = values[~np.isnan(values)]
    if not len(known):
        return Column(name, 1.0, np.nan, np.nan, np.nan, 0.0)
    low, high = float(known.min()), float(known.max())
    missing = 1 - len(known) / len(values)
    link = 0.0 if missing == 0 and low == high else _link(some, label, kind == CHURN)
    return Column(name, missing, low, float(known.mean(dtype=np.float64)), high, link)


def _link(values: NDArray[np.float32], label: NDArray[np.float64], is_binary: bool) -> float:
    """Measure a column's link; a missing value counts as the lowest, because its absence may predict the label too."""
    ranks = rankdata(np.nan_to_num(values, nan=-np.inf))
    if (ranks == ranks[0]).all() or (label == label[0]).all():
        return 0.0
    if not is_binary:
        return float(np.corrcoef(ranks, rankdata(label))[0, 1] ** 2)
    n = label.sum()
    auc = (ranks[label == 1].sum() - n * (n + 1) / 2) / (n * (len(label) - n))
    return float(max(auc, 1 - auc))
