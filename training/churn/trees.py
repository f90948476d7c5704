"""Grow shallow boosted trees over K folds: cross-validation chooses the number of rounds, and boosters are averaged.

Guarantees: a row's out-of-fold margin comes from a booster that saw neither the row nor any other of its fold; the
number of rounds is one number for all folds, so that no fold stops where it suits its own rows. Leaves to others: how
the margins are mixed and calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_ROUNDS = 600
PATIENCE = 40
"""Rounds without a better held-out log-loss after which a fold stops growing."""

SHAPE: dict[str, Any] = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "eta": 0.05,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "min_child_weight": 5.0,
    "lambda": 5.0,
    "nthread": 1,
    "seed": 1,
}


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Average the folds' boosters.

    Attributes
    ----------
    boosters : one per fold, each cut at the same number of rounds
    """

    boosters: tuple[xgb.Booster, ...]

    def margin(self, x: Floats, prior: Floats) -> Floats:
        """Return log-odds of the label, shape (n_rows,): the folds' mean."""
        rows = xgb.DMatrix(x, base_margin=prior)
        margins = [booster.predict(rows, output_margin=True) for booster in self.boosters]
        return np.asarray(np.mean(margins, axis=0, dtype=np.float64))


def fit_trees(
    x: Floats, label: NDArray[np.bool_], prior: Floats, fold: NDArray[np.int64], **shape: Any
) -> tuple[Trees, Floats]:
    """Boost over the folds.

    Parameters
    ----------
    x : float64, shape (n_rows, n_columns), NaN where missing
    label : bool, shape (n_rows,)
    prior : log-odds of the label to start from, shape (n_rows,)
    fold : int64, shape (n_rows,), 0..K-1
    shape : XGBoost parameters that differ from :data:`SHAPE`

    Returns
    -------
    trees, out-of-fold margins of shape (n_rows,)

    References
    ----------
    Chen & Guestrin, KDD 2016.
    """
    params = SHAPE | shape
    grown: list[tuple[xgb.Booster, NDArray[np.bool_]]] = []
    curves = []
    for k in range(int(fold.max()) + 1):
        held = fold == k
        train, test = (xgb.DMatrix(x[m], label[m], base_margin=prior[m]) for m in (~held, held))
        curve: dict[str, Any] = {}
        booster = xgb.train(
            params, train, MAX_ROUNDS, evals=[(test, "held")], early_stopping_rounds=PATIENCE, evals_result=curve,
            verbose_eval=False,
        )  # fmt: skip
        grown.append((booster, held))
        curves.append(curve["held"]["logloss"])
    common = min(len(curve) for curve in curves)
    rounds = int(np.mean([curve[:common] for curve in curves], axis=0).argmin()) + 1
    out = np.empty(len(x))
    cut = []
    for booster, held in grown:
        cut.append(booster[:rounds])
        out[held] = cut[-1].predict(xgb.DMatrix(x[held], base_margin=prior[held]), output_margin=True)
    return Trees(tuple(cut)), out
