"""Calibration: monotone, itself without data, moved little by few, and right with many."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.content.quality.calibration import N_BINS, Observed, fit, isotonic, prior_rate

SCORES = [n / 4 for n in range(21)]
observed = st.builds(
    lambda score, sent, share: Observed(score, sent, int(sent * share)),
    st.floats(0, 5),
    st.integers(0, 100_000),
    st.floats(0, 1),
)


def test_without_data_a_score_stays_what_it_is() -> None:
    made = fit([])
    for score in SCORES:
        assert made.calibrated(score) == pytest.approx(score, abs=1e-9)


@given(st.lists(observed, max_size=30))
def test_whatever_was_observed_a_better_score_is_never_calibrated_to_a_worse_one(data: list[Observed]) -> None:
    made = fit(data)
    found = [made.calibrated(score) for score in SCORES]
    assert all(later >= before - 1e-9 for before, later in itertools.pairwise(found))
    assert all(0 <= one <= 5 for one in found)
    assert all(later >= before - 1e-12 for before, later in itertools.pairwise(made.rates))


def test_few_messages_change_little() -> None:
    made = fit([Observed(1.0, 10, 2), Observed(4.5, 10, 0)])
    for score in SCORES:
        assert abs(made.calibrated(score) - score) < 0.8


def test_many_messages_tell_what_readers_do() -> None:
    """Scores from 3 on do not matter to these readers; below, they engage a fifth as often."""
    draw = random.Random(5)
    data = []
    for _ in range(200):
        score = draw.uniform(0, 5)
        rate = 0.02 if score < 3 else 0.10
        data.append(Observed(score, 1_000, sum(draw.random() < rate for _ in range(1_000))))
    made = fit(data)
    assert made.rate(1.0) == pytest.approx(0.02, abs=0.01)
    assert made.rate(4.6) == pytest.approx(0.10, abs=0.01)
    assert made.calibrated(4.9) - made.calibrated(3.6) < 0.7
    assert made.calibrated(3.6) - made.calibrated(2.0) > 2


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 100)), min_size=1, max_size=30))
def test_isotonic_regression_is_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    from sklearn.isotonic import IsotonicRegression

    values, weights = [v for v, _ in pairs], [w for _, w in pairs]
    theirs = IsotonicRegression().fit_transform(range(len(values)), values, sample_weight=weights)
    assert isotonic(values, weights) == pytest.approx(list(theirs), abs=1e-6)


def test_the_prior_is_the_rate_of_the_channel_on_average() -> None:
    rates = [prior_rate(5 * (place + 0.5) / N_BINS, 0.04) for place in range(N_BINS)]
    assert sum(rates) / N_BINS == pytest.approx(0.04)
