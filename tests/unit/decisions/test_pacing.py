from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.decisions.pacing import HOURS, Gains, Pace, Plan, lagrangian, paced, spend

HOUR = 3_600_000
COSTS = np.array([0.0, 0.1, 1.0])


def batch(seed: int, n: int) -> np.ndarray:
    values = np.random.default_rng(seed).gamma(1.0, 1.0, (n, 3))
    values[:, 0] = 0.0
    return values


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 60),
    costs=st.lists(st.floats(0, 1e6), min_size=2, max_size=2),
    allowance=st.floats(-10, 100),
)
def test_a_batch_never_costs_more_than_it_may(seed: int, n: int, costs: list[float], allowance: float) -> None:
    all_costs = np.array([0.0, *costs])
    price, arms = lagrangian(batch(seed, n), all_costs, allowance)
    assert price >= 0
    assert arms.shape == (n,)
    assert all_costs[arms].sum() <= max(allowance, 0.0)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), allowance=st.floats(0, 50))
def test_a_batch_spends_what_it_may_as_well_as_anything_that_costs_no_more(seed: int, n: int, allowance: float) -> None:
    """The price certifies it: no choice at this cost or below is worth more (weak duality)."""
    values = batch(seed, n)
    price, arms = lagrangian(values, COSTS, allowance)
    cost = COSTS[arms].sum()
    best = (values - price * COSTS).max(axis=1).sum() + price * cost
    assert values[np.arange(n), arms].sum() == pytest.approx(best)
    if price > 1e-9:  # at a price that is a little lower it would have cost too much
        lower = (values - price * (1 - 1e-9) * COSTS).argmax(axis=1)
        assert COSTS[lower].sum() > allowance or np.array_equal(lower, arms)


def test_what_fits_is_not_priced() -> None:
    price, arms = lagrangian(batch(1, 50), COSTS, allowance=1e9)
    assert price == 0.0
    np.testing.assert_array_equal(arms, batch(1, 50).argmax(axis=1))


@pytest.mark.parametrize(
    ("values", "costs"),
    [
        (np.zeros(3), COSTS),
        (np.zeros((2, 2)), COSTS),
        (np.full((1, 3), np.nan), COSTS),
        (np.zeros((1, 3)), -COSTS),
        (np.zeros((1, 3)), COSTS + 1),
        (np.zeros((1, 3)), np.array([0.0, 1.0, np.inf])),
    ],
)
def test_what_cannot_be_priced_is_refused(values: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(ValueError):
        lagrangian(values, costs, 1.0)


def test_the_plan_releases_by_the_hours_of_the_day_and_ends_with_the_budget() -> None:
    shares = tuple(3.0 if hour == 1 else 1.0 if hour == 2 else 0.0 for hour in range(HOURS))
    plan = Plan(80.0, 0, 2 * HOURS * HOUR, shares)
    hours = (-5, 0, 1, 2, 2.5, 3, 24, 26, 48, 99)
    assert [plan.released(round(hour * HOUR)) for hour in hours] == [0, 0, 0, 30, 35, 40, 40, 70, 80, 80]
    for wrong in ({"budget": -1.0}, {"ends": 0}, {"shares": (0.0,) * HOURS}, {"shares": (1.0,)}):
        with pytest.raises(ValueError):
            Plan(**({"budget": 1.0, "begins": 0, "ends": 9} | wrong))


def played(seed: int, budget: float, n_rounds: int, rate: float) -> tuple[list[Pace], Plan, float]:
    """A day of batches of changing size, at one time a round; states after each, and what no limit would cost."""
    rng = np.random.default_rng(seed)
    plan, pace, states, free = Plan(budget, 0, HOURS * HOUR), Pace(), [], 0.0
    gains, before = Gains(scale=1.0), 0
    for at in range(1, n_rounds + 1):
        now = at * HOURS * HOUR // n_rounds
        pace, values = paced(pace, plan, gains, before, now), batch(int(rng.integers(1 << 30)), rng.poisson(rate))
        free += COSTS[values.argmax(axis=1)].sum() if len(values) else 0.0
        pace, *_ = spend(pace, plan, values, COSTS)
        states.append(pace)
        before = now
    return states, plan, free


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1_000), budget=st.floats(0, 500), rate=st.floats(0, 30))
def test_the_budget_is_never_exceeded(seed: int, budget: float, rate: float) -> None:
    states, plan, _ = played(seed, budget, 48, rate)
    assert max(pace.spent for pace in states) <= plan.budget + 1e-9
    assert min(pace.price for pace in states) >= 0


@pytest.mark.parametrize("budget", [300.0, 600.0, 1_500.0])
def test_a_budget_that_binds_is_spent_evenly_to_its_end_at_a_price_that_settles(budget: float) -> None:
    states, plan, free = played(3, budget, 288, 20.0)
    assert free > 1.5 * plan.budget
    spent, price = (np.array([getattr(pace, name) for pace in states]) for name in ("spent", "price"))
    assert spent[-1] > 0.97 * plan.budget
    assert np.abs(spent / plan.budget - np.arange(1, 289) / 288).max() < 0.06
    assert price[144:].min() > 0
    assert price[144:].std() < 0.5 * price[144:].mean()


def test_a_budget_that_does_not_bind_costs_nothing() -> None:
    states, _, free = played(4, 1e6, 96, 20.0)
    assert {pace.price for pace in states} == {0.0}
    assert states[-1].spent == pytest.approx(free)
