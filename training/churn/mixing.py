"""Mix several models' log-odds into one probability: non-negative weights, then a calibration that keeps the order.

Guarantees: weights are learned on margins of rows that the models did not see, and none is below 0; a calibration never
swaps two rows; isotonic steps are used only where they predict held-out rows better than a straight line on the
log-odds does. Leaves to others: where the margins come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

FEWEST_FOR_ISOTONIC = 1_000
"""Rows required of the rarer class; with fewer, isotonic steps follow noise."""

_SHRINK = 30.0
"""Penalty on a weight's squared distance from an equal share, in rows: a handful of rows cannot pick a favourite."""


def log_loss(p: Floats, label: Labels) -> float:
    """Return the mean negative log-likelihood, in nats per row."""
    return float(-np.log(np.clip(np.where(label, p, 1 - p), 1e-12, 1)).mean())


def sigmoid(margin: Floats) -> Floats:
    """Return the probability of log-odds, which are limited to 35."""
    return np.asarray(1 / (1 + np.exp(-np.clip(margin, -35, 35))))


def logit(p: Floats) -> Floats:
    """Return log-odds of probabilities, which are limited to [1e-12, 1 - 1e-12]."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True, slots=True)
class Mix:
    """Combine log-odds linearly.

    Attributes
    ----------
    intercept : of the log-odds
    weights : of each model's log-odds, not below 0
    """

    intercept: float
    weights: tuple[float, ...]

    @classmethod
    def equal(cls, n_models: int) -> Mix:
        """Return a mix with equal weights."""
        return cls(0.0, (1 / n_models,) * n_models)

    @classmethod
    def fit(cls, margins: Floats, label: Labels) -> Mix:
        """Find the weights under which held-out rows are most likely.

        Parameters
        ----------
        margins : log-odds of each model, of rows it did not see, shape (n_rows, n_models)
        label : bool, shape (n_rows,)

        References
        ----------
        Wolpert, Neural Networks 1992; Breiman, Machine Learning 1996 (non-negative weights).
        """
        n = margins.shape[1]
        y = label.astype(np.float64)

        def loss(at: Floats) -> tuple[float, Floats]:
            mixed = at[0] + margins @ at[1:]
            residual = sigmoid(mixed) - y
            away = at[1:] - 1 / n
            value = np.logaddexp(0.0, mixed).sum() - y @ mixed + _SHRINK * (away @ away)
            gradient = np.concatenate([[residual.sum()], margins.T @ residual + 2 * _SHRINK * away])
            return float(value) / len(y), gradient / len(y)

        start = np.concatenate([[0.0], np.full(n, 1 / n)])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0, None)] * n)
        return cls(float(found.x[0]), tuple(float(w) for w in found.x[1:]))

    def margin(self, margins: Floats) -> Floats:
        """Return mixed log-odds, shape (n_rows,)."""
        return np.asarray(self.intercept + margins @ np.array(self.weights))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Map log-odds through a non-decreasing line between points; without points, leave them unchanged.

    Attributes
    ----------
    kind : "platt" or "isotonic"
    before, after : log-odds
    """

    kind: str = "platt"
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()

    @classmethod
    def fit(cls, margin: Floats, label: Labels, fold: NDArray[np.int64]) -> Calibration:
        """Fit isotonic steps if there are enough rows and it pays on held-out folds, otherwise Platt's line.

        References
        ----------
        Platt 1999; Zadrozny & Elkan, KDD 2002.
        """
        rare = int(min(label.sum(), (~label).sum()))
        if rare < FEWEST_FOR_ISOTONIC:
            return cls._platt(margin, label)
        told = {cls._platt: np.empty(len(margin)), cls._isotonic: np.empty(len(margin))}
        for k in range(int(fold.max()) + 1):
            held = fold == k
            for way, p in told.items():
                p[held] = way(margin[~held], label[~held]).probability(margin[held])
        return min(told, key=lambda way: log_loss(told[way], label))(margin, label)

    @classmethod
    def _platt(cls, margin: Floats, label: Labels) -> Calibration:
        line = Mix.fit(margin[:, None], label)
        ends = (-35.0, 35.0)
        return cls("platt", ends, tuple(line.intercept + line.weights[0] * end for end in ends))

    @classmethod
    def _isotonic(cls, margin: Floats, label: Labels) -> Calibration:
        steps = IsotonicRegression(y_min=0.5 / len(label), y_max=1 - 0.5 / len(label)).fit(margin, label)
        # A step's middle, not its ends: between middles the line rises, which keeps the order of rows within a step.
        levels, at = np.unique(steps.predict(margin), return_inverse=True)
        middle = np.bincount(at, margin) / np.bincount(at)
        return cls("isotonic", tuple(map(float, middle)), tuple(map(float, logit(levels))))

    def probability(self, margin: Floats) -> Floats:
        """Return calibrated probabilities, shape (n_rows,)."""
        if not self.before:
            return sigmoid(margin)
        return sigmoid(np.interp(margin, self.before, self.after))
