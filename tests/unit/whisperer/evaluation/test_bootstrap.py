from __future__ import annotations

import numpy as np
import pytest

from whisperer.evaluation.bootstrap import compare, influence, interval, intervals, resampled
from whisperer.evaluation.estimators import Terms


def mean_of(values: np.ndarray) -> Terms:
    return Terms(values, np.ones(len(values)))


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3, 2, 4_000)
    (found,) = intervals([mean_of(values)], np.arange(4_000), n_resamples=4_000)
    error = values.std() / np.sqrt(4_000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_rows_of_one_user_are_one_piece_of_evidence() -> None:
    by_user = np.random.default_rng(2).normal(0, 1, 500)
    user = np.repeat(np.arange(500), 9)
    (alone,) = intervals([mean_of(by_user)], np.arange(500))
    (repeated,) = intervals([mean_of(by_user[user])], user)
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


def test_what_two_policies_share_cancels() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 100, 1_000)
    found = compare(mean_of(shared + 1), mean_of(shared + rng.normal(0, 0.1, 1_000)), np.arange(1_000))
    assert found.new.low < 0 < found.new.high
    assert found.difference.low == pytest.approx(1, abs=0.02)
    assert found.difference.high == pytest.approx(1, abs=0.02)


def test_an_interval_that_rests_on_few_users_is_wider() -> None:
    samples = np.random.default_rng(4).normal(0, 1, 5_000)
    many, few = np.ones(1_000), np.r_[np.full(6, 100.0), np.full(994, 0.01)]
    assert interval(0, samples, few).high > 1.15 * interval(0, samples, many).high


def test_the_influence_of_users_sums_to_0_and_gives_the_error_of_a_mean() -> None:
    values = np.array([1.0, 2.0, 6.0])
    moved = influence(mean_of(values), np.array([0, 0, 1]))
    assert moved == pytest.approx([-1.0, 1.0])


def test_a_resample_with_nothing_to_divide_by_leaves_no_bound() -> None:
    rare = Terms(np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    (found,) = intervals([rare], np.arange(3))
    assert (found.value, found.low, found.high) == (1.0, -np.inf, np.inf)


def test_the_same_seed_draws_the_same_users_however_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terms, user = [mean_of(np.arange(50.0))], np.arange(50)
    drawn = resampled(terms, user, 20, seed=5)
    assert drawn.tolist() == resampled(terms, user, 20, seed=5).tolist()
    assert drawn.tolist() != resampled(terms, user, 20, seed=6).tolist()
    monkeypatch.setattr("whisperer.evaluation.bootstrap._BLOCK", 150)
    assert resampled(terms, user, 20, seed=5) == pytest.approx(drawn)
