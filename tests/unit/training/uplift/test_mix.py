from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.uplift.making import a_binary_trial, a_trial, effects_of
from training.uplift.bases import Boosted, Ridge
from training.uplift.caution import caution
from training.uplift.learners import DR, Average, Related, S, T, X
from training.uplift.mix import Mix, fit_mix, stacked, standard_learners
from training.uplift.trial import Trial, TrialError

ASKED = np.random.default_rng(9).normal(size=(400, 3))
QUICK = {"ridge": T(Ridge(10.0)), "levels": Average(Ridge())}


def test_where_effects_differ_by_user_personalising_gets_the_weight() -> None:
    mix, report = fit_mix(a_trial(4000), QUICK)
    assert report.weights["ridge"] > 0.8
    assert np.corrcoef(mix.effects(ASKED)[:, 1], effects_of(ASKED)[:, 1])[0, 1] > 0.95
    assert report.values["mix"] > report.values["levels"] + 0.1
    assert report.caution.arm == 2
    assert report.caution.low > 0
    preferred = report.caution.choose(mix.effects(ASKED))
    assert (preferred[ASKED[:, 0] > 1] == 1).all()


def test_where_effects_are_alike_everybody_gets_the_best_single_arm() -> None:
    trial = a_trial(2000, noise=3.0)
    alike = Trial(
        np.random.default_rng(5).normal(size=trial.x.shape),  # tells nothing of the reward
        trial.action,
        trial.reward + 1.0 * (trial.action == 2),
        trial.propensity,
        trial.user,
    )
    mix, report = fit_mix(alike, QUICK)
    assert report.caution.arm == 2
    assert report.caution.margin == np.inf
    assert (report.caution.choose(mix.effects(ASKED)) == 2).all()


def test_weights_are_not_negative_and_a_harmful_learner_gets_none() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 2))
    noisy = truth + 5 * rng.normal(size=truth.shape)
    weights = stacked(np.stack([truth, -truth, rng.normal(size=truth.shape)]), noisy)
    assert (weights >= 0).all()
    assert weights[0] > 0.9
    assert weights[1] == 0
    assert weights[2] < 0.15


def test_overstated_effects_are_shrunk() -> None:
    truth = np.random.default_rng(0).normal(size=(4000, 2))
    assert stacked(3 * truth[None], truth)[0] == pytest.approx(1 / 3, abs=0.01)


def test_learners_that_cannot_be_told_apart_are_averaged() -> None:
    effects = np.random.default_rng(0).normal(size=(200, 2))
    np.testing.assert_allclose(stacked(np.stack([effects, effects]), effects), [0.5, 0.5], atol=0.02)


def test_a_mix_is_the_weighted_sum_of_its_members() -> None:
    trial = a_trial(400)
    one, other = T(Ridge()).fit(trial), Average(Ridge()).fit(trial)
    found = Mix((0.25, 0.5), [one, other]).effects(ASKED)
    np.testing.assert_allclose(found, 0.25 * one.effects(ASKED) + 0.5 * other.effects(ASKED))
    assert (Mix((0.0, 0.0), [one, other]).effects(ASKED) == 0).all()


def test_a_model_that_memorises_rows_gets_no_weight_for_it() -> None:
    trial = a_trial(600, noise=4.0)
    deep = T(Boosted(depth=6, rounds=30, eta=0.5, fewest=1.0, subsample=1.0))
    _, report = fit_mix(trial, {"deep": deep, "levels": Average(Ridge())})
    assert report.weights["deep"] < 0.2


def test_the_standard_model_takes_money_and_yes_or_no() -> None:
    money, yes = a_trial(800), a_binary_trial(800)
    assert standard_learners(money)["trees"] == S(Boosted("reg:squarederror", fewest=5.0))
    assert standard_learners(yes)["trees"] == S(Boosted("binary:logistic", fewest=5.0))
    never_negative = Trial(money.x, money.action, np.abs(money.reward), money.propensity)
    assert standard_learners(never_negative)["trees"] == S(Boosted("reg:tweedie", fewest=5.0))
    assert standard_learners(yes)["lines"] == Related()
    assert standard_learners(money)["lines"] == T(Ridge())
    for trial in (money, yes):
        mix, report = fit_mix(trial, n_folds=3)
        assert mix.effects(trial.x).shape == (800, trial.n_arms)
        assert set(report.values) == {"trees", "lines", "levels", "mix"}


def test_the_four_learners_can_be_mixed() -> None:
    ridge = Ridge(10.0)
    _, report = fit_mix(
        a_trial(800), {"s": S(Boosted(rounds=20)), "t": T(ridge), "x": X(ridge, ridge), "dr": DR(ridge, ridge)}
    )
    assert sum(report.weights.values()) == pytest.approx(1.0, abs=0.3)


def test_a_trial_without_an_arm_is_refused_before_anything_is_fitted() -> None:
    trial = a_trial(300)
    with pytest.raises(TrialError, match="absent_arm at 0"):
        fit_mix(trial.at(trial.action > 0), {})


def test_deviating_is_allowed_for_as_many_as_gain_by_it() -> None:
    rng = np.random.default_rng(4)
    truth = np.column_stack([np.zeros(5000), np.full(5000, 1.2), 1 + rng.normal(size=5000)])
    seen = truth + np.array([0, 0, 0.7])  # the third arm is overstated
    found = caution(seen, truth + 0.1 * rng.normal(size=truth.shape), np.arange(5000))
    assert found.arm == 1
    assert 0.4 < found.margin < 1.0
    gain = truth[np.arange(5000), found.choose(seen)].mean() - 1.2
    assert 0 < found.low < gain
