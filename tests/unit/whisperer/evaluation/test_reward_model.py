from __future__ import annotations

import numpy as np
import pytest

from whisperer.evaluation.logged import TOO_FEW_USERS, Floats, Ints, InvalidLogError, Logged
from whisperer.evaluation.reward_model import Predict, arm_ridge, cross_fitted


def rows(n: int, seed: int = 1) -> tuple[Floats, Ints, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.integers(0, 3, n), rng


def test_arms_that_differ_in_level_and_slope_are_found() -> None:
    x, action, rng = rows(6_000)
    truth = np.array([0.0, 1.0, 2.0])[action] + x[:, 0] * np.array([1.0, -1.0, 0.0])[action]
    predicted = arm_ridge(x, action, truth + rng.normal(0, 0.5, len(x)), 3)(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert predicted == pytest.approx(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]]), abs=0.06)


def test_arms_that_do_not_differ_are_one() -> None:
    x, action, rng = rows(600, seed=4)
    predicted = arm_ridge(x, action, x[:, 0] + rng.normal(0, 1, len(x)), 3)(x)
    assert np.abs(predicted - predicted.mean(axis=1, keepdims=True)).max() < 0.1
    assert predicted.mean(axis=1) == pytest.approx(x[:, 0], abs=0.35)


def test_noise_alone_leaves_the_mean() -> None:
    rng = np.random.default_rng(2)
    x, reward = rng.normal(size=(300, 20)), rng.normal(5, 1, 300)
    predicted = arm_ridge(x, np.zeros(300, np.int64), reward, 1)(x)
    assert predicted.std() < 0.35 * np.linalg.lstsq(np.c_[np.ones(300), x], reward)[0][1:].std() * np.sqrt(20)


def test_an_arm_nobody_has_tried_is_what_the_others_have_in_common() -> None:
    x, action, rng = rows(3_000)
    reward = 3 + action + rng.normal(0, 0.1, len(x))
    predicted = arm_ridge(x, action, reward, 4)(np.zeros((1, 2)))
    assert predicted[0, 3] == pytest.approx(reward.mean(), abs=0.05)


def test_neither_a_constant_column_nor_no_column_at_all_is_in_the_way() -> None:
    action, reward = np.array([0, 1] * 50), np.array([0.0, 1.0] * 50) + np.arange(100) % 3
    without = arm_ridge(np.empty((100, 0)), action, reward, 2)(np.empty((1, 0)))
    constant = arm_ridge(np.full((100, 2), 7.0), action, reward, 2)(np.full((1, 2), 7.0))
    assert constant == pytest.approx(without, abs=1e-6)
    assert without[0, 1] > without[0, 0]


def test_a_users_own_rows_never_reach_the_model_that_predicts_for_them() -> None:
    user = np.repeat(np.arange(30), 4)
    log = Logged(np.zeros(120, np.int64), user.astype(float), np.full(120, 0.5), user, user[:, None].astype(float))
    seen = []

    def spy(context: Floats, action: Ints, reward: Floats, n_arms: int, /) -> Predict:
        fitted = set(reward.tolist())

        def predict(asked: Floats) -> Floats:
            seen.append(fitted & set(asked[:, 0].tolist()))
            return np.full((len(asked), n_arms), float(len(fitted)))

        return predict

    assert cross_fitted(log, 2, spy, n_folds=5) == pytest.approx(np.full((120, 2), 24.0))
    assert seen == [set()] * 5


def test_fewer_users_than_folds_are_refused() -> None:
    with pytest.raises(InvalidLogError) as refused:
        cross_fitted(Logged([0] * 9, [0.0] * 9, [1.0] * 9, [0, 1, 2] * 3), 1)
    assert refused.value.reason == TOO_FEW_USERS
