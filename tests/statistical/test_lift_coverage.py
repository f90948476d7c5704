"""The lift's interval holds the truth as often as it says: on synthetic groups, seeds fixed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from whisperer.evaluation.lift import GroupTally, Lift, lift

N_WORLDS = 4_000

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def conversions(rate: float) -> Draw:
    return lambda rng, n: (rng.random((N_WORLDS, n)) < rate) * 1000.0


def counts(mean: float) -> Draw:
    return lambda rng, n: rng.poisson(mean * rng.gamma(1.0, 1.0, (N_WORLDS, n))) * 1000.0


def money(rate: float, mean: float) -> Draw:
    return lambda rng, n: (rng.random((N_WORLDS, n)) < rate) * np.round(rng.gamma(2.0, mean / 2, (N_WORLDS, n)) * 1000)


def cancelling(amount: float, refunded: float) -> Draw:
    """Everybody paid or got back ``amount``."""
    return lambda rng, n: np.where(rng.random((N_WORLDS, n)) < refunded, -1_000.0, 1_000.0) * amount


def rare_refunds(rate: float, amount: float) -> Draw:
    """Few paid, and half of them were refunded more than they had paid in this window."""
    return lambda rng, n: (rng.random((N_WORLDS, n)) < rate) * rng.choice([-1_000.0, 1_000.0], (N_WORLDS, n)) * amount


def log_normal(sigma: float, mean: float) -> Draw:
    return lambda rng, n: np.round(rng.lognormal(-(sigma**2) / 2, sigma, (N_WORLDS, n)) * mean * 1000)


def around(mean: float, spread: float) -> Draw:
    return lambda rng, n: np.round(rng.normal(mean, spread, (N_WORLDS, n)) * 1000)


def equal(value: float) -> Draw:
    return lambda rng, n: np.full((N_WORLDS, n), value * 1000)


def tally(totals: NDArray[np.float64]) -> GroupTally:
    return GroupTally(len(totals), int(totals.sum()), int((totals**2).sum()), int(abs(totals).sum()))


def lifts(treated: NDArray[np.float64], holdout: NDArray[np.float64]) -> list[Lift]:
    found = []
    for t, h in zip(treated, holdout, strict=True):
        made = lift(tally(t), tally(h))
        if isinstance(made, Lift):
            found.append(made)
    return found


@pytest.mark.parametrize(
    ("name", "treated", "holdout", "truth", "n", "at_most"),
    [
        ("conversions, no effect", conversions(0.10), conversions(0.10), 0.0, (600, 60), 0.975),
        ("conversions, effect", conversions(0.16), conversions(0.10), 0.06, (600, 60), 0.975),
        # Two conversions are expected in the holdout: the interval is wide rather than wrong.
        ("rare conversions", conversions(0.03), conversions(0.02), 0.01, (900, 100), 0.995),
        ("few users", conversions(0.30), conversions(0.20), 0.10, (100, 20), 0.975),
        ("counts", counts(1.2), counts(1.0), 0.2, (600, 60), 0.975),
        ("money", money(0.3, 20.0), money(0.25, 20.0), 1.0, (900, 100), 0.975),
        ("money that cancels", cancelling(100, 0.5), cancelling(100, 0.5), 0.0, (900, 100), 0.975),
        ("money that cancels, groups alike", cancelling(100, 0.5), cancelling(100, 0.5), 0.0, (400, 400), 0.975),
        ("money that cancels, effect", cancelling(100, 0.48), cancelling(100, 0.5), 4.0, (900, 60), 0.975),
        ("refunds of few", rare_refunds(0.2, 50), rare_refunds(0.2, 50), 0.0, (900, 100), 0.975),
        ("losses only", around(-20, 5), around(-22, 9), 2.0, (300, 40), 0.975),
        ("amounts of a large currency", around(1e9, 4e8), around(9e8, 4e8), 1e8, (300, 40), 0.975),
        ("amounts of thousandths", counts(0.001), counts(0.001), 0.0, (9_000, 1_000), 1.0),
        ("much larger groups", money(0.02, 20.0), money(0.02, 20.0), 0.0, (3_000, 300), 0.99),
        ("one group does not vary", equal(10), around(9, 4), 1.0, (100, 100), 0.975),
        ("skewed", log_normal(1.0, 20.0), log_normal(1.0, 20.0), 0.0, (900, 200), 0.975),
        # Nobody varies: there is no chance in it, and the interval is narrow and right.
        ("everybody alike", equal(10), equal(9), 1.0, (100, 100), 1.0),
    ],
)
def test_the_interval_of_the_difference_covers_the_truth(
    name: str, treated: Draw, holdout: Draw, truth: float, n: tuple[int, int], at_most: float
) -> None:
    rng = np.random.default_rng(11)
    found = lifts(treated(rng, n[0]), holdout(rng, n[1]))
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert len(found) == N_WORLDS
    assert 0.93 <= covered <= at_most, f"{name}: {covered:.3f}"


def test_the_interval_of_the_relative_lift_covers_the_truth() -> None:
    rng = np.random.default_rng(12)
    found = lifts(conversions(0.15)(rng, 2_000), conversions(0.10)(rng, 400))
    bounded = [one for one in found if one.relative_low is not None and one.relative_high is not None]
    covered = np.mean([one.relative_low <= 0.5 <= one.relative_high for one in bounded])
    assert len(bounded) > 0.99 * N_WORLDS
    assert covered == pytest.approx(0.95, abs=0.012)


def test_an_effect_of_this_size_is_seen_most_of_the_time() -> None:
    rng = np.random.default_rng(13)
    found = lifts(conversions(0.25)(rng, 1_000), conversions(0.10)(rng, 100))
    assert np.mean([one.low > 0 for one in found]) > 0.85


@pytest.mark.parametrize(
    ("sigma", "n", "rests_on", "least", "most"),
    [
        (1.0, (600, 60), (15, 40), 0.86, 0.93),
        (1.0, (5_000, 300), (80, 150), 0.93, 0.97),
        (1.5, (600, 60), (5, 20), 0.85, 0.93),
        (2.0, (600, 60), (1, 10), 0.80, 0.93),
    ],
)
def test_where_a_few_users_carry_most_of_it_coverage_falls_and_the_lift_says_on_how_few_it_rests(
    sigma: float, n: tuple[int, int], rests_on: tuple[int, int], least: float, most: float
) -> None:
    """Log-normal amounts: the larger sigma, the fewer carry them, and the later may the central limit theorem be asked
    for. The sample that has not seen its large ones cannot know (Bahadur & Savage 1956)."""
    rng = np.random.default_rng(15)
    found = lifts(log_normal(sigma, 20.0)(rng, n[0]), log_normal(sigma, 40.0)(rng, n[1]))
    assert least <= np.mean([one.low <= -20 <= one.high for one in found]) <= most
    assert rests_on[0] <= np.median([one.rests_on for one in found]) <= rests_on[1]
