from __future__ import annotations

import numpy as np
import pytest

metrics = pytest.importorskip("sklearn.metrics", reason="the extra `training` is not installed")

from tests.benchmarks.tables.t1_compare import Judge, Scored, standing  # noqa: E402


def rows(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 2, n)
    return p, rng.random(n) < p, np.arange(n) % 3, np.arange(n) // 2


def test_points_are_means_over_parts_of_what_scikit_learn_says_ties_included() -> None:
    p, label, part, customer = rows()
    p = p.round(1).clip(0.05, 0.95)
    made = Judge(label, part, customer, n_boot=10).table(Scored(p, p), {})["rows"]["ours"]
    of = [part == k for k in range(3)]
    assert made["auc"] == pytest.approx(np.mean([metrics.roc_auc_score(label[k], p[k]) for k in of]), abs=1e-5)
    assert made["log_loss"] == pytest.approx(np.mean([metrics.log_loss(label[k], p[k]) for k in of]), abs=1e-5)


def test_the_truth_is_ahead_of_noise_behind_when_swapped_and_level_with_itself() -> None:
    p, label, part, customer = rows()
    noise = np.random.default_rng(1).permutation(p)
    judge = Judge(label, part, customer, n_boot=200)
    truth, other = Scored(p, p), Scored(noise, noise)
    assert judge.table(truth, {"noise": other})["standing"] == {"auc": "ahead", "log_loss": "ahead"}
    assert judge.table(other, {"truth": truth})["standing"] == {"auc": "behind", "log_loss": "behind"}
    assert judge.table(truth, {"itself": truth})["standing"] == {"auc": "level", "log_loss": "level"}


def test_ahead_is_ahead_of_everybody() -> None:
    better = {
        "auc": {"difference": 0.1, "low": 0.05, "high": 0.2},
        "log_loss": {"difference": -0.1, "low": -0.2, "high": -0.05},
    }
    level = {
        "auc": {"difference": 0.1, "low": -0.05, "high": 0.2},
        "log_loss": {"difference": 0.0, "low": -0.1, "high": 0.1},
    }
    assert standing({"a": better, "b": level}) == {"auc": "level", "log_loss": "level"}
