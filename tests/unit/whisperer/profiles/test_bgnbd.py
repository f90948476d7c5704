# ruff: noqa: N806 (T, as in the papers)
from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.profiles.bgnbd import (
    CDNOW,
    BgNbd,
    HistoryError,
    expected_purchases,
    log_likelihood,
    p_alive,
    p_purchase,
)

SPREAD = BgNbd(r=0.8, alpha=6.0, a=1.6, b=2.2)


def simulated(params: BgNbd, n: int, until: float, ahead: float) -> tuple[np.ndarray, ...]:
    """Histories until ``until`` of customers who all began at 0, and their purchases in the time after: the story of
    the model told event by event, not its formulas."""
    rng = np.random.default_rng(4)
    rate, leaving = rng.gamma(params.r, 1 / params.alpha, n), rng.beta(params.a, params.b, n)
    x, t_x, after = np.zeros(n), np.zeros(n), np.zeros(n)
    now, alive = np.zeros(n), np.ones(n, bool)
    while alive.any():
        now = now + np.where(alive, rng.exponential(1 / rate), 0)
        alive &= now <= until + ahead
        seen = alive & (now <= until)
        x += seen
        t_x = np.where(seen, now, t_x)
        after += alive & (now > until)
        alive &= rng.random(n) >= leaving
    return x, t_x, np.full(n, until), after


def test_the_likelihood_is_the_papers_formula() -> None:
    x, t_x, T, (r, alpha, a, b) = 3, 20.0, 39.0, (0.243, 4.414, 0.793, 2.426)

    def log_beta(p: float, q: float) -> float:
        return math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q)

    front = math.lgamma(r + x) + r * math.log(alpha) - math.lgamma(r)
    there = math.exp(log_beta(a, b + x) - log_beta(a, b)) * (alpha + T) ** -(r + x)
    left = math.exp(log_beta(a + 1, b + x - 1) - log_beta(a, b)) * (alpha + t_x) ** -(r + x)
    assert log_likelihood(CDNOW, x, t_x, T)[0] == pytest.approx(front + math.log(there + left), abs=1e-12)


def test_expectations_hold_for_customers_who_live_by_the_model() -> None:
    x, t_x, T, after = simulated(SPREAD, 60_000, until=30, ahead=20)
    for low, high in ((0, 0), (1, 1), (2, 4), (5, 99)):
        of = (x >= low) & (x <= high)
        history = x[of], t_x[of], T[of]
        error = after[of].std() / math.sqrt(of.sum())
        assert expected_purchases(SPREAD, 20, *history).mean() == pytest.approx(after[of].mean(), abs=4 * error)
        share = (after[of] > 0).mean()
        assert p_purchase(SPREAD, 20, *history).mean() == pytest.approx(share, abs=4 * 0.5 / math.sqrt(of.sum()))


def test_a_busy_customer_of_many_years_overflows_nothing() -> None:
    expected = expected_purchases(CDNOW, 520, [5_000, 0], [519.0, 0.0], [520.0, 520.0])
    assert np.isfinite(expected).all()
    assert expected[0] > 1_000 > expected[1]


def test_the_formula_passes_smoothly_through_its_singularity() -> None:
    near = [expected_purchases(BgNbd(0.3, 4, a, 2), 30, 4, 20, 30)[0] for a in (0.9999, 1.0, 1.0001)]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-5)


histories = st.tuples(st.integers(0, 300), st.floats(0, 1), st.floats(0.1, 500))


@given(st.lists(histories, min_size=1, max_size=20), st.floats(0, 100))
def test_probabilities_are_such_and_more_time_ahead_never_means_less(
    rows: list[tuple[int, float, float]], t: float
) -> None:
    x, share, T = np.array(rows).T
    history = x, np.where(x > 0, share * T, 0), T
    alive, buys = p_alive(CDNOW, *history), p_purchase(CDNOW, t, *history)
    expected = expected_purchases(CDNOW, t, *history)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (buys <= alive + 1e-12).all()
    assert (expected >= buys - 1e-7).all()
    assert (expected_purchases(CDNOW, t + 1, *history) >= expected - 1e-7).all()
    assert (alive[x == 0] == 1).all()


@pytest.mark.parametrize(
    "history",
    [(-1, 0, 5), (1.5, 2, 5), (1, 6, 5), (1, -1, 5), (0, 2, 5), (math.nan, 0, 5), (1, 1, math.inf)],
)
def test_an_impossible_history_is_refused_with_its_index(history: tuple[float, float, float]) -> None:
    columns = [np.array([good, bad]) for good, bad in zip((2, 3, 5), history, strict=True)]
    for ask in (log_likelihood, p_alive):
        with pytest.raises(HistoryError) as refused:
            ask(CDNOW, *columns)
        assert pickle.loads(pickle.dumps(refused.value)).index == 1


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_parameters_are_positive_and_finite(wrong: float) -> None:
    with pytest.raises(ValueError, match="alpha is positive"):
        BgNbd(1.0, wrong, 1.0, 1.0)
    with pytest.raises(ValueError, match="a time ahead"):
        expected_purchases(CDNOW, -1.0 if wrong == 0 else wrong, 0, 0, 1)
