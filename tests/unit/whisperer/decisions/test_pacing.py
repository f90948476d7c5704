from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.decisions.pacing import HOURS, SpendingPlan, lagrangian

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
    plan = SpendingPlan(80.0, 0, 2 * HOURS * HOUR, shares)
    hours = (-5, 0, 1, 2, 2.5, 3, 24, 26, 48, 99)
    assert [plan.released(round(hour * HOUR)) for hour in hours] == [0, 0, 0, 30, 35, 40, 40, 70, 80, 80]
    for wrong in ({"budget": -1.0}, {"ends": 0}, {"shares": (0.0,) * HOURS}, {"shares": (1.0,)}):
        with pytest.raises(ValueError):
            SpendingPlan(**({"budget": 1.0, "begins": 0, "ends": 9} | wrong))
