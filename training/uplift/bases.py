"""Provide the regressions that uplift learners are made of: boosted trees, ridge, and ridge on log-odds.

A base is settings, and :meth:`fit` returns a regression (:mod:`whisperer.models.regressions`). Guarantees: the same
rows and settings give the same regression; a column that does not vary has no slope. Leaves to others: what is
regressed on what (:mod:`training.uplift.learners`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xgboost as xgb

from training.uplift.trial import Floats, Ints
from whisperer.models.regressions import Forest, Line, Regression, sigmoid, standard

_MANY_COLUMNS = 10

_FREE = 1e-3
"""Penalty of a level: practically none, but enough to stay finite if an arm has only one outcome."""
_N_STEPS, _SMALL_STEP = 25, 1e-9


class Base(Protocol):
    """Settings of a regression."""

    def fit(self, x: Floats, y: Floats, /) -> Regression:
        """Fit a regression; x has shape (n, d), y (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Ridge:
    """Fit ridge regression (Hoerl & Kennard, Technometrics 1970).

    ``penalty`` is how many rows' worth of evidence there is that a standardised slope is 0.

    Examples
    --------
    >>> x = np.arange(100.0)[:, None]
    >>> Ridge(penalty=0.01).fit(x, 3 * x[:, 0] + 1).predict(np.array([[10.0]])).round(1)
    array([31.])
    """

    penalty: float = 100.0

    def fit(self, x: Floats, y: Floats, /) -> Line:
        centre, scale = _centre_and_scale(x)
        rows = standard(x, centre, scale)
        middle = rows.mean(axis=0)
        around = rows - middle
        slope = np.linalg.solve(around.T @ around + self.penalty * np.eye(x.shape[1]), around.T @ (y - y.mean()))
        return Line(centre, scale, slope, float(y.mean() - middle @ slope))


@dataclass(frozen=True, slots=True)
class Logit:
    """Fit logistic regression for 0 and 1, by Newton's method; ``penalty`` as in :class:`Ridge`, in log-odds.

    References
    ----------
    le Cessie & van Houwelingen, Applied Statistics 1992.
    """

    penalty: float = 10.0

    def fit(self, x: Floats, y: Floats, /) -> Line:
        centre, scale = _centre_and_scale(x)
        rows = np.c_[np.ones(len(x)), standard(x, centre, scale)]
        beta = _newton(rows, y, np.r_[_FREE, np.full(x.shape[1], self.penalty)])
        return Line(centre, scale, beta[1:], float(beta[0]), is_logistic=True)


@dataclass(frozen=True, slots=True)
class Boosted:
    """Fit XGBoost (Chen & Guestrin, KDD 2016), slow and shallow: effects are small compared with the noise.

    Attributes
    ----------
    objective : ``reg:squarederror`` for anything; ``binary:logistic`` for 0 and 1; ``reg:tweedie`` for money, whose
        noise grows with its mean (negative values then count as 0)
    fewest : ``min_child_weight``
    """

    objective: str = "reg:squarederror"
    depth: int = 3
    rounds: int = 200
    eta: float = 0.05
    fewest: float = 20.0
    subsample: float = 0.8
    seed: int = 0

    def fit(self, x: Floats, y: Floats, /) -> Forest:
        parameters: dict[str, Any] = {
            "objective": self.objective,
            "max_depth": self.depth,
            "eta": self.eta,
            "min_child_weight": self.fewest,
            "subsample": self.subsample,
            # A tree that sees the arm without the user, or the user without the arm, learns no interaction.
            "colsample_bytree": self.subsample if x.shape[1] >= _MANY_COLUMNS else 1.0,
            "seed": self.seed,
            "nthread": 1,
        }
        if self.objective == "reg:tweedie":
            parameters["tweedie_variance_power"] = 1.2
            y = np.maximum(y, 0.0)
        return Forest(xgb.train(parameters, xgb.DMatrix(x, y), self.rounds))


def related_logits(x: Floats, group: Ints, y: Floats, n_groups: int, penalty: float, apart: float) -> list[Line]:
    """Fit a logistic regression per group, shrunk towards slopes common to all groups; each group has its own level.

    Parameters
    ----------
    x, y : shape (n, d), and 0 or 1 of shape (n,)
    group : int64, shape (n,), in 0..n_groups-1; one without rows gets what the others have in common
    penalty, apart : of the common slopes and of a group's differences from them, as in :class:`Logit`

    References
    ----------
    Lindley & Smith, JRSS B 1972 (exchangeable regressions).
    """
    centre, scale = _centre_and_scale(x)
    rows = np.c_[np.ones(len(x)), standard(x, centre, scale)]
    width = rows.shape[1]
    own = (np.eye(n_groups)[group][:, :, None] * rows[:, None, :]).reshape(len(x), -1)
    common, differences = (np.r_[_FREE, np.full(width - 1, each)] for each in (penalty, apart))
    beta = _newton(np.c_[rows, own], y, np.r_[common, np.tile(differences, n_groups)])
    lines = beta[:width] + beta[width:].reshape(n_groups, width)
    return [Line(centre, scale, line[1:], float(line[0]), is_logistic=True) for line in lines]


def _newton(rows: Floats, y: Floats, penalty: Floats) -> Floats:
    """Return the coefficients of a logistic regression; ``rows`` begin with a one, ``penalty`` has shape (width,)."""
    share = (y.sum() + 0.5) / (len(y) + 1)
    beta = np.r_[np.log(share / (1 - share)), np.zeros(rows.shape[1] - 1)]
    for _ in range(_N_STEPS):
        p = sigmoid(rows @ beta)
        curvature = (rows * (p * (1 - p))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curvature, rows.T @ (y - p) - penalty * beta)
        beta += step
        if np.abs(step).max() < _SMALL_STEP:
            break
    return np.asarray(beta, np.float64)


def _centre_and_scale(x: Floats) -> tuple[Floats, Floats]:
    """Return mean and deviation of each column's known values; a column that does not vary is left unscaled."""
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, x, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, x - centre, 0.0) ** 2).sum(axis=0) / count)
    return centre, np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, 1.0)
