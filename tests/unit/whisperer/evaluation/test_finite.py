"""Whatever finite numbers come in, what comes out is finite, or a refusal that has a name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.evaluation import forecasts, gate
from whisperer.evaluation.daily import anytime_ratio
from whisperer.evaluation.lift import sample_ratio
from whisperer.evaluation.logged import BAD_PROPENSITY, BAD_REWARD, NO_OVERLAP, InvalidLogError, Logged

N = 60

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 100.0, -100.0, 1e-300, 1e15, -1e15, 1e300, 5e-324]),
)
patterns = st.lists(numbers, min_size=1, max_size=5)
shares = st.lists(st.floats(0, 1e300, allow_subnormal=True), min_size=1, max_size=4).filter(lambda held: sum(held) > 0)


def spread_out(pattern: list[float], n: int = N) -> np.ndarray:
    """The pattern again and again, so that equal, cancelling and lonely values all come up."""
    return np.resize(np.array(pattern), n)


@settings(max_examples=60, deadline=None)
@given(
    patterns,
    st.lists(st.floats(0, 1, exclude_min=True, allow_subnormal=True), min_size=1, max_size=3),
    st.integers(1, N),
    st.floats(0, 1),
)
def test_a_log_is_refused_by_name_or_judged_in_finite_numbers(
    rewards: list[float], propensities: list[float], per_user: int, share: float
) -> None:
    try:
        log = Logged(np.arange(N) % 2, spread_out(rewards), spread_out(propensities), np.arange(N) // per_user)
        verdict = gate.judge(log, [share, 1 - share], rule=gate.GateRule(n_resamples=20))
    except InvalidLogError as refused:
        if refused.reason not in {BAD_REWARD, BAD_PROPENSITY, NO_OVERLAP}:
            raise
        return
    for found in verdict.figures.estimates.values():
        for one in (found.new, found.current, found.difference):
            assert math.isfinite(one.value)
            assert not math.isnan(one.low)
            assert one.low <= one.high
    assert all(math.isfinite(value) for value in verdict.figures.overlap.weight_quantiles.values())


@pytest.mark.parametrize(("reward", "propensity"), [(1e16, 0.5), (1.0, 1e-13), (1e300, 0.5), (1.0, 5e-324)])
def test_numbers_whose_powers_no_float_holds_are_refused_at_the_door(reward: float, propensity: float) -> None:
    with pytest.raises(InvalidLogError, match=r"bad_(reward|propensity) at row 1"):
        Logged([0, 1], [0.0, reward], [0.5, propensity], [0, 1])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 1, allow_subnormal=True), min_size=1, max_size=4),
    st.lists(st.floats(0, 1, allow_subnormal=True), min_size=1, max_size=4),
    st.sampled_from([1, 2, N, 4 * N]),
)
def test_a_forecast_is_judged_in_finite_numbers_or_refused_by_name(
    said: list[float], theirs: list[float], per_user: int
) -> None:
    n = 4 * N
    label = (np.arange(n) % 3 == 0).astype(np.float64)
    user = np.arange(n) // per_user
    rule = forecasts.ForecastRule(n_resamples=20)
    found = forecasts.judge(label, user, spread_out(said, n), {"other": spread_out(theirs, n)}, rule)
    assert found.promote or found.reasons
    for one in found.against.values():
        told: list[Any] = [one.log_loss.low, one.log_loss.high, one.auc.low, one.auc.high]
        assert all(math.isfinite(value) for value in told)


def test_rows_of_one_user_are_no_evidence_about_users() -> None:
    label = (np.arange(400) % 2).astype(np.float64)
    found = forecasts.judge(label, np.zeros(400, np.int64), label, {"chance": np.full(400, 0.5)})
    assert [one.reason for one in found.reasons] == ["too_few_users"]


@given(shares, st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_sizes_of_groups_have_a_p_value_for_any_shares_and_counts(held: list[float], counts: list[int]) -> None:
    by_group = {str(at): share for at, share in enumerate(held)}
    counted = {group: counts[at] for at, group in enumerate(by_group)}
    if math.isinf(sum(held)):
        return
    assert 0 <= sample_ratio(counted, by_group).p_value <= 1
    assert 0 <= anytime_ratio(counted, by_group) <= 1
