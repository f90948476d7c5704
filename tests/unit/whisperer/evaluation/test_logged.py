from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from whisperer.evaluation import logged as module
from whisperer.evaluation.logged import InvalidLogError, Logged, checked_policy


def log(**changed: Any) -> Logged:
    columns = {"action": [0, 1, 1], "reward": [1.0, 0.0, 2.0], "propensity": [0.5, 0.5, 1.0], "user": ["b", "a", "b"]}
    return Logged(**{**columns, **changed})


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.0000001, float("nan"), float("inf")])
def test_a_propensity_outside_0_to_1_is_refused_with_the_first_bad_row(bad: float) -> None:
    with pytest.raises(InvalidLogError, match="propensity") as refused:
        log(propensity=[0.5, bad, bad])
    assert (refused.value.reason, refused.value.index) == (module.BAD_PROPENSITY, 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_that_is_not_finite_is_refused_with_its_row(bad: float) -> None:
    with pytest.raises(InvalidLogError) as refused:
        log(reward=[1.0, 0.0, bad])
    assert (refused.value.reason, refused.value.index) == (module.BAD_REWARD, 2)


@pytest.mark.parametrize(
    ("changed", "reason", "index"),
    [
        ({"action": [0, -1, 1]}, module.BAD_ACTION, 1),
        ({"action": [0.0, 1.0, 1.0]}, module.BAD_ACTION, None),
        ({"action": [[0, 1, 1]]}, module.SHAPE, None),
        ({"action": []}, module.EMPTY, None),
        ({"reward": [1.0, 0.0]}, module.SHAPE, None),
        ({"user": ["a"]}, module.SHAPE, None),
        ({"context": [1.0, 2.0, 3.0]}, module.SHAPE, None),
        ({"context": [[1.0], [float("nan")], [2.0]]}, module.BAD_CONTEXT, 1),
        ({"probabilities": [[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]]}, module.BAD_PROBABILITIES, 2),
        ({"probabilities": [[0.5, 0.5], [0.5, 0.6], [0.0, 1.0]]}, module.BAD_PROBABILITIES, 1),
        ({"probabilities": [[0.5], [0.5], [1.0]]}, module.BAD_PROBABILITIES, 1),
    ],
)
def test_a_log_that_is_not_consistent_is_refused(changed: dict[str, Any], reason: str, index: int | None) -> None:
    with pytest.raises(InvalidLogError) as refused:
        log(**changed)
    assert (refused.value.reason, refused.value.index) == (reason, index)


@pytest.mark.parametrize(
    ("policy", "reason", "index"),
    [
        ([0.5, 0.6], module.BAD_TARGET, 0),
        ([[0.5, 0.5], [1.5, -0.5], [0.5, 0.5]], module.BAD_TARGET, 1),
        ([[0.5, 0.5], [0.5, 0.5], [0.5, float("nan")]], module.BAD_TARGET, 2),
        ([1.0], module.BAD_TARGET, 1),
        ([[0.5, 0.5]], module.SHAPE, None),
    ],
)
def test_a_policy_that_is_none_is_refused(policy: Any, reason: str, index: int | None) -> None:
    with pytest.raises(InvalidLogError) as refused:
        checked_policy(log(), policy)
    assert (refused.value.reason, refused.value.index) == (reason, index)


def test_the_policy_has_as_many_arms_as_the_logged_vectors() -> None:
    whole = log(probabilities=[[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    with pytest.raises(InvalidLogError, match="3 arms"):
        checked_policy(whole, [0.2, 0.3, 0.5])


def test_users_are_numbered_and_whatever_kind_of_id_they_had_is_forgotten() -> None:
    assert log().user.tolist() == [1, 0, 1]
    assert log(user=[70, 7, 70]).user.tolist() == [1, 0, 1]
    assert log().n_users == 2


def test_vectors_stored_as_float32_are_accepted() -> None:
    vectors = np.array([[0.1, 0.9], [0.9, 0.1], [0.7, 0.3]], np.float32)
    assert len(log(propensity=[0.1, 0.1, 0.3], probabilities=vectors)) == 3


def test_the_error_survives_pickling() -> None:
    error = InvalidLogError(module.BAD_REWARD, "a reward is a finite number, not nan", 3)
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.detail, again.index, str(again)) == (error.reason, error.detail, 3, str(error))
