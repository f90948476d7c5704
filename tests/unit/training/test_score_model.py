"""From replayed rows to an artifact that a shard's sweeps can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("xgboost")
pytest.importorskip("sklearn")

from actors.score_models import open_model
from training.rows.decisions import matrix
from training.score_model import train_scores
from whisperer.models.artifact import digest
from whisperer.models.loading import load

T0, MONTH = 1_790_000_000_000, 30 * 86_400_000
NAMES = ("recency_days", "events_30d", "gap_mean_days")


def rows(number: int, n: int = 600) -> pa.Table:
    """Users of one cutoff: the longer silent, the more often gone."""
    rng = np.random.default_rng(number)
    recency, busy = rng.exponential(15, n), rng.poisson(6, n).astype(float)
    came_back = rng.random(n) < 1 / (1 + np.exp(recency / 6 - busy / 6 - 1))
    days = np.where(came_back, rng.binomial(30, np.clip(busy / 20, 0, 1)), 0).astype(float)
    stamps = pa.array(np.full(n, T0 + number * MONTH)).cast(pa.timestamp("ms"))
    gap = np.full(n, np.nan)
    columns = {"cutoff": stamps, "came_back": came_back, "active_days": days}
    return pa.table({**columns, "recency_days": recency, "events_30d": busy, "gap_mean_days": gap})


def trained(folder: Path, tables: list[pa.Table]) -> str:
    made = train_scores(
        tables, folder, name="fare", version=1, created_at=T0, code_version="test", window_days=30, names=NAMES
    )
    return digest(made)


def test_a_model_is_calibrated_on_a_later_cutoff_and_loads_as_it_was_written(tmp_path: Path) -> None:
    name = trained(tmp_path / "a", [rows(n) for n in range(4)])
    model, later = open_model(load(tmp_path / "a", name)), rows(9, 4_000)
    churn, engagement = model.score(matrix(later, NAMES))
    left = ~later["came_back"].to_numpy(zero_copy_only=False)
    worst = np.argsort(churn)[-800:]
    assert left[worst].mean() > left.mean() + 0.2
    assert abs(churn.mean() - left.mean()) < 0.05
    share = later["active_days"].to_numpy() / 30
    assert np.corrcoef(engagement, share)[0, 1] > 0.4
    assert 0 <= min(churn.min(), engagement.min()) <= max(churn.max(), engagement.max()) <= 1


def test_the_same_rows_make_the_same_artifact(tmp_path: Path) -> None:
    tables = [rows(n) for n in range(3)]
    assert trained(tmp_path / "a", tables) == trained(tmp_path / "b", tables)


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two"):
        trained(tmp_path / "a", [rows(1)])
    nobody = rows(2).set_column(1, "came_back", pa.array(np.zeros(600, np.bool_)))
    with pytest.raises(ValueError, match="0 of 600 users to calibrate on came back"):
        trained(tmp_path / "a", [rows(1), nobody])
