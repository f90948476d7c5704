"""What a fitted value model is made of: lines and forests, which predict, and say what each column had to do with it.

Guarantees: NaN is a value to trees and the column's mean to a line; contributions add up to the prediction. XGBoost is
asked only through a booster that somebody loaded. Leaves to others: fitting (`training.uplift.bases`), and what is
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
"""Standard deviations: what lies beyond counts as this far, for a line goes on for ever."""
_STEP = 1e-6


class Regression(Protocol):
    def predict(self, x: Floats, /) -> Floats:
        """Expected value of each row, shape (n,)."""
        ...

    def contributions(self, x: Floats, /) -> Floats:
        """Of each column to the prediction, and what is predicted without any: shape (n, d + 1); rows sum to it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Attributes
    ----------
    centre, scale, slope : float64, shape (d,); the slope is 0 where a column did not vary
    is_logistic : the line is of log-odds
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
    """Boosted trees; predicts what the objective's labels were, not log-odds."""

    booster: xgboost.Booster

    def predict(self, x: Floats, /) -> Floats:
        return np.asarray(self.booster.inplace_predict(x, validate_features=False), np.float64)

    def contributions(self, x: Floats, /) -> Floats:
        from xgboost import DMatrix

        margins = self.booster.predict(DMatrix(x), pred_contribs=True, validate_features=False)
        objective = json.loads(self.booster.save_config())["learner"]["objective"]["name"]
        return _in_units(np.asarray(margins, np.float64), _LINKS.get(objective, _same))


def standard(x: Floats, centre: Floats, scale: Floats) -> Floats:
    """Deviations from the centre, within 4 of them; what is missing is the mean, that is 0."""
    return np.asarray(np.clip(np.nan_to_num((x - centre) / scale), -_WIDEST, _WIDEST), np.float64)


def sigmoid(line: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(line, -30, 30))), np.float64)


def _in_units(margins: Floats, link: Callable[[Floats], Floats]) -> Floats:
    """Contributions to the argument of ``link`` as contributions to its value: each by the same factor of its row."""
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
