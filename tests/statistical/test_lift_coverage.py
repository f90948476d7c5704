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


def lifts(treated: NDArray[np.float64], holdout: NDArray[np.float64]) -> list[Lift]:
    found = []
    for t, h in zip(treated, holdout, strict=True):
        parts = [GroupTally(len(g), int(g.sum()), int((g**2).sum())) for g in (t, h)]
        made = lift(parts[0], parts[1])
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
