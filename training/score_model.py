"""Trains the model behind `score.churn` and `score.engagement` on replayed rows, and writes it as an artifact.

Two small forests over the registry's features: one says whether a user does nothing within the window, calibrated by
isotonic regression on the latest cutoff, which the forests never saw; the other what share of the window's days sees
them active. Guarantees: the artifact is plain data that :mod:`actors.score_models` loads, with the hash of the features
it was trained on. Leaves to others: promotion, and the larger churn model of :mod:`training.churn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import xgboost
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from actors.score_models import CALIBRATION, KIND
from training.rows.decisions import matrix
from whisperer.models.artifact import MANIFEST, DataRange, Manifest, encode, manifest_of
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash

SETTINGS: dict[str, Any] = {"max_depth": 3, "eta": 0.1, "min_child_weight": 20, "lambda": 5.0, "nthread": 1}
ROUNDS = 120
FEWEST = 50
"""Rows of either label that a cutoff needs, to be learned from or calibrated on."""


def train_scores(
    tables: Sequence[pa.Table],
    folder: Path,
    *,
    name: str,
    version: int,
    created_at: int,
    code_version: str,
    window_days: int,
    names: Sequence[str] = REPLAYED,
) -> Manifest:
    """Train on :func:`training.rows.replay.rows_of` tables, one a cutoff in order of time, and write the artifact.

    Parameters
    ----------
    tables : at least two; the last is for calibration only
    folder : empty
    created_at : ms UTC

    Raises
    ------
    ValueError
        Too few tables, or fewer than FEWEST users who came back, or who did not, on either side.
    """
    if len(tables) < 2:
        raise ValueError("one cutoff is learned from and another calibrates: at least two are needed")
    rows, held_out = pa.concat_tables(tables[:-1]), tables[-1]
    for part, what in ((rows, "to learn from"), (held_out, "to calibrate on")):
        n_back = int(part["came_back"].to_numpy(zero_copy_only=False).sum())
        if min(n_back, part.num_rows - n_back) < FEWEST:
            message = f"{n_back} of {part.num_rows} users {what} came back: at least {FEWEST} of either kind are needed"
            raise ValueError(message)
    left, active = _labels(rows, window_days)
    x = matrix(rows, names)
    churn = _grown(x, left, "binary:logistic")
    engagement = _grown(x, active, "reg:logistic")
    found = churn.inplace_predict(matrix(held_out, names))
    curve = IsotonicRegression(out_of_bounds="clip").fit(found, _labels(held_out, window_days)[0])
    points = {"x": curve.X_thresholds_.tolist(), "y": curve.y_thresholds_.tolist()}
    folder.mkdir(parents=True, exist_ok=True)
    churn.save_model(folder / "churn.ubj")
    engagement.save_model(folder / "engagement.ubj")
    (folder / CALIBRATION).write_bytes(msgspec.json.encode({"churn": points}))
    stamps = np.concatenate([table["cutoff"].cast(pa.int64()).to_numpy() for table in tables])
    made = manifest_of(
        folder,
        name=name,
        version=version,
        kind=KIND,
        created_at=created_at,
        data=DataRange(int(stamps.min()), int(stamps.max()) + 1, len(stamps)),
        code_version=code_version,
        features=names,
        feature_registry=feature_hash(FEATURES[feature] for feature in names),
        parameters={**SETTINGS, "rounds": ROUNDS, "window_days": window_days},
    )
    (folder / MANIFEST).write_bytes(encode(made))
    return made


def _labels(rows: pa.Table, window_days: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(did nothing, share of days active), float64, shape (n,), in [0, 1]."""
    left = ~rows["came_back"].to_numpy(zero_copy_only=False).astype(np.bool_)
    return left.astype(np.float64), np.clip(rows["active_days"].to_numpy() / window_days, 0.0, 1.0)


def _grown(x: NDArray[np.float64], y: NDArray[np.float64], objective: str) -> xgboost.Booster:
    return xgboost.train({**SETTINGS, "objective": objective}, xgboost.DMatrix(x, label=y), ROUNDS)
