from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra `training` is not installed")

from training.churn.mixing import Calibration, Mix, log_loss, logit, sigmoid
from training.churn.spline_logit import SplineLogit


def drawn(margin: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(len(margin)) < sigmoid(margin)


def test_what_predicts_gets_the_weight_and_what_misleads_gets_none() -> None:
    margin = np.random.default_rng(1).normal(size=20_000)
    noise = np.random.default_rng(2).normal(size=20_000)
    mix = Mix.fit(np.column_stack([margin, -margin, noise]), drawn(margin))
    assert mix.weights[0] == pytest.approx(1, abs=0.08)
    assert mix.weights[1] == 0
    assert mix.weights[2] < 0.05


def test_a_few_rows_do_not_pick_a_favourite() -> None:
    margins = np.random.default_rng(1).normal(size=(30, 2))
    mix = Mix.fit(margins, drawn(3 * margins[:, 0]))
    assert mix.weights == pytest.approx((0.5, 0.5), abs=0.2)


def test_a_margin_that_is_too_sure_is_calibrated_in_order() -> None:
    truth = np.random.default_rng(3).normal(size=12_000)
    label, fold = drawn(truth), np.arange(12_000) % 5
    calibration = Calibration.fit(3 * truth, label, fold)
    fresh = np.random.default_rng(4).normal(size=12_000)
    p = calibration.probability(3 * fresh)
    assert log_loss(p, drawn(fresh)) < log_loss(sigmoid(3 * fresh), drawn(fresh)) - 0.1
    assert (np.diff(p[np.argsort(fresh)]) >= 0).all()


def test_steps_are_used_where_no_line_fits_and_only_with_enough_rows() -> None:
    score = np.random.default_rng(5).uniform(-2, 2, 20_000)
    label = drawn(np.where(score > 0, 2.0, -2.0))
    many = Calibration.fit(score, label, np.arange(20_000) % 5)
    assert many.kind == "isotonic"
    assert many.probability(np.array([-1.0, 1.0])) == pytest.approx([0.119, 0.881], abs=0.03)
    assert Calibration.fit(score[:500], label[:500], np.arange(500) % 5).kind == "platt"


def test_without_points_a_calibration_changes_nothing() -> None:
    p = np.array([0.1, 0.5, 0.9])
    assert Calibration().probability(logit(p)) == pytest.approx(p)


def test_a_bent_effect_is_found_and_what_is_missing_has_an_effect_of_its_own() -> None:
    x = np.random.default_rng(6).normal(size=(20_000, 1))
    truth = np.abs(x[:, 0]) * 2 - 2
    x[:3_000] = np.nan
    truth[:3_000] = 1.5
    none = np.zeros(len(x))
    fitted = SplineLogit.fit(x, drawn(truth), none, penalty=1.0)
    asked = np.array([[-1.5], [0.0], [1.5], [np.nan]])
    assert fitted.margin(asked, np.zeros(4)) == pytest.approx([1, -2, 1, 1.5], abs=0.35)


def test_with_a_heavy_penalty_an_additive_logit_is_its_prior() -> None:
    x = np.random.default_rng(7).normal(size=(2_000, 3))
    prior = np.random.default_rng(8).normal(size=2_000)
    fitted = SplineLogit.fit(x, drawn(prior), prior, penalty=1e7)
    assert fitted.margin(x, prior) == pytest.approx(prior + fitted.coefficients[0], abs=1e-3)
    assert abs(fitted.coefficients[0]) < 0.15
