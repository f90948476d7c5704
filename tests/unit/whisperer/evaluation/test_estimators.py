from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.evaluation import worked_example as worked
from whisperer.evaluation import logged as reasons
from whisperer.evaluation.estimators import dm, dr, ips, on_policy, snips, switch_dr, threshold, weights
from whisperer.evaluation.logged import InvalidLogError, Logged

N_ARMS = 3


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Logged, np.ndarray, np.ndarray]:
    """A log with whole vectors, another policy, and predictions."""
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 40))
    rng = np.random.default_rng(seed)
    p, policy = rng.dirichlet(np.ones(N_ARMS), n) * 0.94 + 0.02, rng.dirichlet(np.ones(N_ARMS), n)
    action = rng.integers(0, N_ARMS, n)
    scale = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    reward = rng.normal(0, scale, n)
    log = Logged(action, reward, p[np.arange(n), action], rng.integers(0, 9, n), probabilities=p)
    return log, policy, rng.normal(0, scale, (n, N_ARMS))


def replaced(log: Logged, reward: np.ndarray) -> Logged:
    return Logged(log.action, reward, log.propensity, log.user, probabilities=log.probabilities)


@pytest.mark.parametrize("name", worked.BY_HAND)
def test_every_estimator_gives_what_was_worked_out_by_hand(name: str) -> None:
    assert worked.ours()[name] == pytest.approx(worked.BY_HAND[name], abs=1e-12)


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_the_logging_policy_itself_is_worth_its_mean_reward(world: tuple[Logged, np.ndarray, np.ndarray]) -> None:
    log, _, _ = world
    assert log.probabilities is not None
    mean = pytest.approx(log.reward.mean(), rel=1e-9, abs=1e-9 * np.abs(log.reward).max())
    assert ips(log, log.probabilities).value == mean
    assert snips(log, log.probabilities).value == mean
    assert on_policy(log).value == mean


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_where_the_model_is_exact_on_what_was_logged_dr_and_switch_are_the_direct_method(
    world: tuple[Logged, np.ndarray, np.ndarray],
) -> None:
    log, policy, expected = world
    expected[np.arange(len(log)), log.action] = log.reward
    direct = pytest.approx(dm(log, policy, expected).value, rel=1e-12, abs=1e-12)
    assert dr(log, policy, expected).value == direct
    assert switch_dr(log, policy, expected, 1.0).value == direct


@given(worlds())
@settings(max_examples=60, deadline=None)
def test_switch_goes_from_the_direct_method_to_dr(world: tuple[Logged, np.ndarray, np.ndarray]) -> None:
    log, policy, expected = world
    assert switch_dr(log, policy, expected, 0).value == dm(log, policy, expected).value
    largest = float(weights(log, policy).max())
    assert switch_dr(log, policy, expected, largest).value == dr(log, policy, expected).value


@given(worlds(), st.floats(-100, 100))
@settings(max_examples=60, deadline=None)
def test_rewards_that_all_grow_by_a_constant_move_snips_and_dr_by_it(
    world: tuple[Logged, np.ndarray, np.ndarray], more: float
) -> None:
    log, policy, expected = world
    shifted = replaced(log, log.reward + more)
    close = {"rel": 1e-6, "abs": 1e-6 * (1 + abs(more))}
    assert snips(shifted, policy).value == pytest.approx(snips(log, policy).value + more, **close)
    assert dr(shifted, policy, expected + more).value == pytest.approx(dr(log, policy, expected).value + more, **close)


@given(worlds(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_neither_the_unit_of_reward_nor_the_order_of_rows_matters(
    world: tuple[Logged, np.ndarray, np.ndarray], seed: int
) -> None:
    log, policy, expected = world
    tau = threshold(log, policy, expected)
    in_cents = replaced(log, log.reward * 100)
    assert threshold(in_cents, policy, expected * 100) == pytest.approx(tau)
    order = np.random.default_rng(seed).permutation(len(log))
    assert log.probabilities is not None
    shuffled = Logged(
        log.action[order],
        log.reward[order],
        log.propensity[order],
        log.user[order],
        probabilities=log.probabilities[order],
    )
    for one in (ips, snips):
        value = one(log, policy).value
        assert one(in_cents, policy).value == pytest.approx(100 * value, rel=1e-9)
        assert one(shuffled, policy[order]).value == pytest.approx(value, rel=1e-9)
    value = dr(log, policy, expected).value
    assert dr(shuffled, policy[order], expected[order]).value == pytest.approx(value, rel=1e-6)


def one_huge_weight(n: int = 400) -> tuple[Logged, np.ndarray]:
    """The target takes arm 1; the log nearly never did, and once it was surprising."""
    action = np.zeros(n, np.int64)
    action[0] = 1
    p = np.tile([0.999, 0.001], (n, 1))
    reward = np.full(n, 0.5)
    reward[0] = 1.0
    return Logged(action, reward, p[np.arange(n), action], np.arange(n), probabilities=p), np.tile([0.99, 0.01], (n, 1))


def test_switch_leaves_a_huge_weight_to_the_model_when_the_bias_is_known_to_be_small() -> None:
    log, policy = one_huge_weight()
    expected = np.full((len(log), 2), 0.5)
    tau = threshold(log, policy, expected, reward_bound=0.01)
    assert tau < 10
    assert switch_dr(log, policy, expected, tau).value == pytest.approx(0.5)
    assert dr(log, policy, expected).value == pytest.approx(0.5 + 10 * 0.5 / len(log))


def test_switch_keeps_every_weight_when_the_bias_could_be_large() -> None:
    log, policy = one_huge_weight()
    assert threshold(log, policy, np.full((len(log), 2), 0.5), reward_bound=100.0) == np.inf


def test_a_policy_that_never_takes_a_logged_arm_has_no_snips() -> None:
    with pytest.raises(InvalidLogError) as refused:
        snips(Logged([0, 0], [1.0, 1.0], [1.0, 1.0], [0, 1]), [0.0, 1.0])
    assert refused.value.reason == reasons.NO_OVERLAP


@pytest.mark.parametrize("expected", [np.zeros((4, 3)), np.zeros(4), np.full((4, 2), np.nan)])
def test_predictions_of_another_shape_or_without_a_number_are_refused(expected: np.ndarray) -> None:
    with pytest.raises(InvalidLogError) as refused:
        dr(worked.LOG, worked.TARGET, expected)
    assert refused.value.reason == reasons.BAD_PREDICTION


@pytest.mark.parametrize("name", ["logged", "estimators", "bootstrap", "overlap", "sequential", "lift", "quantiles"])
def test_the_examples_in_the_docstrings_run(name: str) -> None:
    module = importlib.import_module(f"whisperer.evaluation.{name}")
    found = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert found.attempted > 0
    assert found.failed == 0
