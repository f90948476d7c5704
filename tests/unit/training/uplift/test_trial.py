from __future__ import annotations

import pickle

import numpy as np
import pytest

from tests.unit.training.uplift.making import a_binary_trial, a_trial
from training.uplift import trial as module
from training.uplift.trial import Trial, TrialError, examine


def parts(n: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = np.tile([0.5, 0.5], (n, 1))
    return {
        "x": rng.normal(size=(n, 2)),
        "action": np.arange(n) % 2,
        "reward": rng.normal(size=n),
        "propensity": vectors,
    }


@pytest.mark.parametrize(
    ("name", "row", "value", "reason"),
    [
        ("propensity", 7, [0.5, np.nan], module.BAD_PROPENSITY),
        ("propensity", 7, [-0.5, 1.5], module.BAD_PROPENSITY),
        ("propensity", 7, [0.5, 0.4], module.BAD_PROPENSITY),
        ("propensity", 7, [1.0, 0.0], module.BAD_PROPENSITY),
        ("action", 7, 2, module.BAD_ACTION),
        ("action", 7, -1, module.BAD_ACTION),
        ("reward", 7, np.inf, module.BAD_REWARD),
        ("x", 7, [np.inf, 0.0], module.BAD_FEATURE),
    ],
)
def test_a_bad_row_is_refused_with_its_number(name: str, row: int, value: object, reason: str) -> None:
    given = parts()
    given[name][row] = value
    with pytest.raises(TrialError) as caught:
        Trial(**given)
    assert (caught.value.reason, caught.value.index) == (reason, row)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("name", ["action", "reward", "propensity"])
def test_arrays_of_different_lengths_are_refused(name: str) -> None:
    given = parts()
    given[name] = given[name][:-1]
    with pytest.raises(TrialError, match="shape"):
        Trial(**given)


def test_an_arm_that_nobody_got_is_refused_by_number() -> None:
    given = parts() | {"propensity": np.array([0.4, 0.4, 0.2])}
    with pytest.raises(TrialError) as caught:
        examine(Trial(**given))
    assert (caught.value.reason, caught.value.index) == (module.ABSENT_ARM, 2)


def test_rewards_that_are_all_alike_are_refused() -> None:
    given = parts() | {"reward": np.ones(60)}
    with pytest.raises(TrialError) as caught:
        examine(Trial(**given))
    assert caught.value.reason == module.ABSENT_OUTCOME


def test_columns_that_say_nothing_are_reported() -> None:
    given = parts()
    given["x"] = np.column_stack([given["x"], np.full(60, 3.0), np.full(60, np.nan)])
    report = examine(Trial(**given, names=["a", "b", "plan", "age"]))
    assert (report.constant, report.missing, report.leaking) == (("plan",), ("age",), {})
    assert report.sentences() == ["age has no value in any row", "plan has the same value in every row"]


def test_a_column_that_tells_the_reward_is_reported_for_money_and_for_yes_or_no() -> None:
    money, yes = a_trial(400), a_binary_trial(400)
    for trial in (money, yes):
        paid = -3 * trial.reward + 1e-6 * trial.x[:, 0]
        report = examine(Trial(np.c_[trial.x[:, :1], paid], trial.action, trial.reward, trial.propensity))
        assert list(report.leaking) == ["x1"]
        assert report.leaking["x1"] > 0.98


def test_a_good_trial_has_nothing_to_report() -> None:
    report = examine(a_trial(600))
    assert report.sentences() == []
    assert (report.n_rows, report.n_users, sum(report.arm_rows)) == (600, 300, 600)


def test_a_users_rows_are_in_one_fold() -> None:
    trial = a_trial(200)
    fold = trial.folds(4)
    assert (fold[0::2] == fold[1::2]).all()
    assert np.bincount(fold, minlength=4).min() >= 48
    with pytest.raises(TrialError, match="too_few_users"):
        trial.at(np.arange(4)).folds(3)
