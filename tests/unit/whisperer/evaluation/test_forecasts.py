"""When a forecast of who leaves takes the place of another."""

from __future__ import annotations

import numpy as np
import pytest

from whisperer.evaluation.forecasts import (
    MISCALIBRATED,
    RANKS_WORSE,
    TOO_FEW_ROWS,
    ForecastRule,
    Verdict,
    judge,
    quality,
    slope,
)
from whisperer.evaluation.gate import MAY_BE_WORSE, NOT_BETTER
from whisperer.evaluation.logged import Floats

Z = np.random.default_rng(3).normal(size=4_000)
LABEL = (np.random.default_rng(4).random(4_000) < 1 / (1 + np.exp(-Z))).astype(float)
USER = np.arange(4_000) // 4


def says(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-z)), np.float64)


def noisy(sd: float) -> Floats:
    return says(Z + np.random.default_rng(5).normal(scale=sd, size=4_000))


def reasons(verdict: Verdict) -> list[str]:
    return [one.reason for one in verdict.reasons]


def test_one_that_knows_more_takes_the_place_of_one_that_knows_less() -> None:
    verdict = judge(LABEL, USER, says(Z), {"noisy": noisy(1.0), "share": np.full(4_000, 0.5)})
    assert verdict.promote
    assert verdict.against["noisy"].log_loss.high < 0 < verdict.against["noisy"].auc.low


def test_one_that_knows_less_does_not_and_is_told_why() -> None:
    assert reasons(judge(LABEL, USER, noisy(1.0), {"better": says(Z)})) == [MISCALIBRATED, NOT_BETTER, RANKS_WORSE]


def test_a_difference_that_chance_explains_is_none() -> None:
    few = judge(
        LABEL[:100], USER[:100], says(Z)[:100], {"x": noisy(0.3)[:100]}, ForecastRule(fewest=10, slope=(0.0, 9.0))
    )
    assert set(reasons(few)) <= {MAY_BE_WORSE, NOT_BETTER, RANKS_WORSE}
    assert few.reasons


@pytest.mark.parametrize(("factor", "allowed"), [(1.0, True), (2.0, False), (0.5, False)])
def test_probabilities_must_mean_what_they_say(factor: float, allowed: bool) -> None:
    verdict = judge(LABEL, USER, says(factor * Z), {})
    assert verdict.promote == allowed
    assert slope(LABEL, says(factor * Z)) == pytest.approx(slope(LABEL, says(Z)) / factor, rel=0.01)


def test_a_forecast_that_says_one_thing_of_all_is_no_forecast() -> None:
    assert MISCALIBRATED in reasons(judge(LABEL, USER, np.full(4_000, 0.5), {}))


def test_too_few_who_left_say_nothing() -> None:
    label = np.zeros(4_000)
    label[:49] = 1
    assert reasons(judge(label, USER, says(Z), {"x": noisy(1.0)})) == [TOO_FEW_ROWS]


def test_figures_are_those_of_the_textbook() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    ties = np.round(says(Z), 1)
    found = quality(LABEL, ties)
    assert found.auc == pytest.approx(sklearn.roc_auc_score(LABEL, ties))
    assert found.log_loss == pytest.approx(sklearn.log_loss(LABEL, np.clip(ties, 1e-6, 1 - 1e-6)))


def test_a_users_rows_are_one_piece_of_evidence() -> None:
    many, once = np.repeat(np.arange(500), 8), np.random.default_rng(6)
    z = once.normal(size=500)[many]
    label = (once.random(500) < 1 / (1 + np.exp(-z[::8])))[many].astype(float)
    other = says(z + once.normal(size=500)[many])
    alone = judge(label, np.arange(4_000), says(z), {"x": other}).against["x"]
    by_user = judge(label, many, says(z), {"x": other}).against["x"]
    for interval, wide in ((alone.auc, by_user.auc), (alone.log_loss, by_user.log_loss)):
        assert wide.high - wide.low == pytest.approx(np.sqrt(8) * (interval.high - interval.low), rel=0.15)


def test_the_interval_of_auc_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(7), 0
    z = rng.normal(size=200_000)
    pool = (rng.random(200_000) < says(z)).astype(float), says(z), says(z + rng.normal(size=200_000))
    truth = quality(pool[0], pool[1]).auc - quality(pool[0], pool[2]).auc
    for at in range(0, 200_000, 500):
        label, ours, theirs = (part[at : at + 500] for part in pool)
        found = judge(label, np.arange(500), ours, {"x": theirs}, ForecastRule(n_resamples=20)).against["x"].auc
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98
