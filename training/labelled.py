"""Take the last steps for churn and value: grow the best trial's forest on more rows, calibrate it, and test it.

For churn, engagement is learned as well if the rows say on how many days users were active: it is the other score that
a shard keeps. Some of the test rows go with the model, for the gate to judge it on.

Guarantees: calibration and threshold are learned on held-out rows, from a forest that did not see them; the forest that
is shipped is grown with the same parameters on the training and held-out rows together, and every figure is of that
forest, on test rows that nothing was chosen on. The files are those of :mod:`whisperer.models.scores`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, roc_auc_score

from training.churn.mixing import Calibration, logit, sigmoid
from training.churn.model import N_FOLDS, stratified
from training.dataset import CHURN, HELD, TEST, TRAIN, Dataset
from training.explaining import shap_values, some_rows
from training.outcome import Attribution, Confusion, TestPredictions, TrainingOutcome
from training.task import Task, booster_parameters
from whisperer.evaluation import forecasts
from whisperer.models.artifact import TEST_ROWS
from whisperer.models.scores import CALIBRATION, ENGAGEMENT, LABEL, USER, WINDOW_DAYS
from whisperer.profiles.scores import HORIZON_DAYS, BgNbdScores

Floats = NDArray[np.float64]

MOST_TEST_ROWS = 10_000
"""The most that go with a churn model: about 1 MB."""
_POINTS = np.linspace(-9, 9, 181)
"""Log-odds at which a calibration is recorded."""


def finish(
    kind: str, data: Dataset, part: NDArray[np.int8], task: Task, sought: Mapping[str, Any], grown: xgb.Booster,
    folder: Path, window_days: int = 0,
) -> TrainingOutcome:  # fmt: skip
    """Write ``<kind>.ubj``, and for churn the other files of a score model, into ``folder``.

    ``grown`` is the best trial's booster, of the training rows alone. ``window_days`` is the label's, 0 if it has none.
    """
    rounds, settings = grown.num_boosted_rounds(), booster_parameters(task, sought)
    shipped = _grow(data, part, data.label, settings, rounds)
    shipped.save_model(folder / f"{kind}.ubj")
    test, y = data.x[part == TEST], data.label[part == TEST]
    said = np.asarray(shipped.inplace_predict(test), np.float64)
    parameters = {"sought": dict(sought), "rounds": rounds, "settings": dict(task.settings)}
    some = test[some_rows(len(test))]
    unit = "log-odds of leaving" if kind == CHURN else "predicted value"
    explained = Attribution(data.names, shap_values(shipped, some), some.astype(np.float64), unit)
    if kind != CHURN:
        return TrainingOutcome(kind, *_told_value(said, y), parameters, explained, scored=TestPredictions(said, y))
    held = np.asarray(grown.inplace_predict(data.x[part == HELD]), np.float64)
    left = data.label[part == HELD] > 0
    calibration = Calibration.fit(logit(held), left, stratified(left, N_FOLDS))
    curve = {"x": sigmoid(_POINTS).tolist(), "y": calibration.probability(_POINTS).tolist()}
    (folder / CALIBRATION).write_text(json.dumps({kind: curve}))
    _write_test_rows(folder, data, part)
    p, p_held = (np.interp(one, curve["x"], curve["y"]) for one in (said, held))
    threshold = best_threshold(p_held, left)
    confusion = _confusion(p, y > 0, threshold)
    metrics = _metrics(p, y, said, float(left.mean()))
    metrics |= {"precision": confusion.precision, "recall": confusion.recall}
    metrics |= _beside_the_formula(data.names, test, y, p, window_days)
    if data.active_days is not None and window_days:
        active = np.clip(data.active_days / window_days, 0.0, 1.0)
        engagement = _grow(data, part, active, settings | {"objective": "reg:logistic"}, rounds)
        engagement.save_model(folder / f"{ENGAGEMENT}.ubj")
        expected = np.asarray(engagement.inplace_predict(test), np.float64)
        metrics["engagement_rank_correlation"] = float(spearmanr(expected, active[part == TEST]).statistic)
    top = p >= np.quantile(p, 0.9)
    headline = (
        f"Of test rows the model never saw, it ranks a user who leaves above one who stays {metrics['auc']:.1%} of the"
        f" time; among the tenth it is surest of, {y[top].mean():.0%} left, against {y.mean():.0%} of all."
    )
    parameters |= {"threshold": threshold, "calibration": calibration.kind, WINDOW_DAYS: window_days}
    return TrainingOutcome(
        kind, headline, metrics, parameters, explained, scored=TestPredictions(p, y), confusion=confusion
    )


def best_threshold(p: Floats, label: NDArray[np.bool_]) -> float:
    """Return the probability at which F1, the harmonic mean of precision and recall, is highest.

    Examples
    --------
    >>> best_threshold(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True]))
    0.6
    """
    order = np.argsort(-p, kind="stable")
    caught = np.cumsum(label[order])
    f1 = 2 * caught / (np.arange(1, len(p) + 1) + label.sum())
    last_of_ties = np.append(np.diff(p[order]) != 0, True)
    return float(p[order][np.where(last_of_ties, f1, -1).argmax()])


def _write_test_rows(folder: Path, data: Dataset, part: NDArray[np.int8]) -> None:
    rows = np.random.default_rng(0).permutation(np.flatnonzero(part == TEST))[:MOST_TEST_ROWS]
    columns = {name: np.ascontiguousarray(data.x[rows, place]) for place, name in enumerate(data.names)}
    users = np.unique(data.user[rows], return_inverse=True)[1]
    table = pa.table({LABEL: data.label[rows], USER: users, **columns})
    with pa.ipc.new_file(folder / TEST_ROWS, table.schema) as file:
        file.write_table(table)


def _beside_the_formula(
    names: tuple[str, ...], x: NDArray[np.float32], y: Floats, p: Floats, window_days: int
) -> dict[str, float]:
    """Return the slope of calibration and, if possible, how the formula that scored before does on the test rows."""
    if not 0 < y.mean() < 1:
        return {}
    found = {"calibration_slope": forecasts.slope(y, p)}
    if not set(BgNbdScores.features) <= set(names):
        return found
    inputs = np.stack([x[:, names.index(name)] for name in BgNbdScores.features], axis=1).astype(np.float64)
    said = BgNbdScores(horizon_days=window_days or HORIZON_DAYS).score(inputs)[0]
    theirs = forecasts.quality(y, np.where(np.isnan(said), y.mean(), said))
    return found | {"auc_of_formula": theirs.auc, "log_loss_of_formula": theirs.log_loss}


def _grow(data: Dataset, part: NDArray[np.int8], label: Floats, parameters: dict[str, Any], rounds: int) -> xgb.Booster:
    known = (part == TRAIN) | (part == HELD)
    rows = xgb.QuantileDMatrix(data.x[known], label[known], nthread=1)
    booster = xgb.Booster(parameters, [rows])
    for number in range(rounds):
        booster.update(rows, number)
    return booster


def _confusion(p: Floats, left: NDArray[np.bool_], threshold: float) -> Confusion:
    said = p >= threshold
    counts = [
        int((said & left).sum()),
        int((~said & left).sum()),
        int((said & ~left).sum()),
        int((~said & ~left).sum()),
    ]
    return Confusion(threshold, *counts)


def _metrics(p: Floats, y: Floats, raw: Floats, share: float) -> dict[str, float]:
    """Measure a forecast; ``log_loss_of_share`` is that of giving everybody the held-out rows' share."""

    def loss(q: Floats) -> float:
        q = np.clip(q, 1e-12, 1 - 1e-12)
        return float(-np.mean(y * np.log(q) + (1 - y) * np.log1p(-q)))

    return {
        "auc": float(roc_auc_score(y, p)) if 0 < y.mean() < 1 else float("nan"),
        "log_loss": loss(p),
        "log_loss_before_calibration": loss(raw),
        "log_loss_of_share": loss(np.full(len(y), share)),
        "brier": float(brier_score_loss(y, p)),
        "mean_predicted": float(p.mean()),
        "mean_observed": float(y.mean()),
    }


def _told_value(said: Floats, y: Floats) -> tuple[str, dict[str, float]]:
    error, spread = said - y, float(y.var())
    metrics = {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float(np.mean(error**2)) / spread if spread > 0 else float("nan"),
        "rank_correlation": float(spearmanr(said, y).statistic),
        "mean_predicted": float(said.mean()),
        "mean_observed": float(y.mean()),
    }
    top = said >= np.quantile(said, 0.9)
    whole = float(y.clip(0).sum())  # before refunds: earnings and refunds together may sum to anything, 0 included
    share = f"; the tenth of test rows it expects most of brought {y[top].sum() / whole:.0%} of it" if whole > 0 else ""
    if not spread > 0:
        return "All test rows have the same value: there is nothing to explain.", metrics
    return f"The model explains {metrics['r2']:.1%} of the variance of value on rows it never saw{share}.", metrics
