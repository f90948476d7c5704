"""Provide what a fitted value model is made of: lines and forests, which predict, and attribute predictions to columns.

Guarantees: NaN is a value to trees and the column's mean to a line; contributions add up to the prediction. XGBoost is
used only through a booster that was loaded elsewhere. Leaves to others: fitting (`training.uplift.bases`), and what is
predicted (:mod:`.effects`).

References
----------
Lundberg et al., "From local explanations to global understanding with explainable AI for trees", Nature MI 2020.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost

Floats = NDArray[np.float64]

_WIDEST = 4.0
"""Standard deviations beyond which values are cut off, because a line has no bounds."""
_STEP = 1e-6


class Regression(Protocol):
    """What every regression can compute."""

    def predict(self, x: Floats, /) -> Floats:
        """Return the expected value of each row, shape (n,)."""
        ...

    def contributions(self, x: Floats, /) -> Floats:
        """Return each column's contribution, and the prediction without any: (n, d + 1); rows sum to the prediction."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Predict with a linear or logistic model of standardised columns.

    Attributes
    ----------
    centre, scale, slope : float64, shape (d,); the slope is 0 where a column did not vary
    is_logistic : whether the line is of log-odds
    """

    centre: Floats
    scale: Floats
    slope: Floats
    level: float
    is_logistic: bool = False

    def predict(self, x: Floats, /) -> Floats:
        line = np.asarray(self.level + standard(x, self.centre, self.scale) @ self.slope, np.float64)
        return sigmoid(line) if self.is_logistic else line

    def contributions(self, x: Floats, /) -> Floats:
        terms = standard(x, self.centre, self.scale) * self.slope
        margins = np.column_stack([terms, np.full(len(x), self.level)])
        return _in_units(margins, sigmoid if self.is_logistic else _same)


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Predict with boosted trees, in the units of the objective's labels, not log-odds."""

    booster: xgboost.Booster

    def predict(self, x: Floats, /) -> Floats:
        return np.asarray(self.booster.inplace_predict(x, validate_features=False), np.float64)

    def contributions(self, x: Floats, /) -> Floats:
        from xgboost import DMatrix

        margins = self.booster.predict(DMatrix(x), pred_contribs=True, validate_features=False)
        objective = json.loads(self.booster.save_config())["learner"]["objective"]["name"]
        return _in_units(np.asarray(margins, np.float64), _LINKS.get(objective, _same))


def standard(x: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return deviations from the centre, in ``scale`` units, limited to 4; missing values become the mean, 0."""
    return np.asarray(np.clip(np.nan_to_num((x - centre) / scale), -_WIDEST, _WIDEST), np.float64)


def sigmoid(line: Floats) -> Floats:
    """Return the probability of log-odds, which are limited to 30."""
    return np.asarray(1 / (1 + np.exp(-np.clip(line, -30, 30))), np.float64)


def _in_units(margins: Floats, link: Callable[[Floats], Floats]) -> Floats:
    """Convert contributions to ``link``'s argument into contributions to its value, by one factor per row."""
    base, total = margins[:, -1], margins.sum(axis=1)
    apart = np.where(np.abs(total - base) > _STEP, total - base, _STEP)
    factor = (link(base + apart) - link(base)) / apart
    return np.column_stack([margins[:, :-1] * factor[:, None], link(base)])


def _same(line: Floats) -> Floats:
    return line


_LINKS: dict[str, Callable[[Floats], Floats]] = {
    "binary:logistic": sigmoid,
    "reg:logistic": sigmoid,
    "reg:tweedie": np.exp,
    "reg:gamma": np.exp,
    "count:poisson": np.exp,
}
