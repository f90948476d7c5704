from __future__ import annotations

import math
from dataclasses import astuple
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.evaluation.lift import (
    FEWEST_USERS,
    HOLDOUT_BELOW_ZERO,
    HOLDOUT_NEAR_ZERO,
    GroupTally,
    Lift,
    NotYet,
    lift,
    sample_ratio,
    typical,
)
from whisperer.evaluation.quantiles import chi2_tail, student_t
from whisperer.evaluation.sequential import AnytimeLift, anytime_lift, anytime_quantile


def tally(totals: np.ndarray) -> GroupTally:
    """Of per-user goal totals in thousandths."""
    milli = totals.astype(np.int64)
    return GroupTally(len(milli), int(milli.sum()), int((milli**2).sum()), int(abs(milli).sum()))


def converted(users: int, conversions: int) -> GroupTally:
    return GroupTally(users, 1_000 * conversions, 1_000_000 * conversions)


def found(treated: GroupTally, holdout: GroupTally, level: float = 0.95) -> Lift:
    lifted = lift(treated, holdout, level)
    assert isinstance(lifted, Lift)
    return lifted


def test_with_many_users_it_is_welchs_interval_about_the_difference() -> None:
    rng = np.random.default_rng(1)
    treated, holdout = rng.gamma(2, 3_000, 20_000), rng.gamma(2, 2_500, 5_000)
    result = found(tally(treated), tally(holdout))
    error = math.hypot(treated.std(ddof=1) / math.sqrt(len(treated)), holdout.std(ddof=1) / math.sqrt(len(holdout)))
    margin = 1.96 * error / 1000
    assert result.difference == pytest.approx((treated.mean() - holdout.mean()) / 1000, abs=1e-3)
    assert result.high - result.low == pytest.approx(2 * margin, rel=0.01)
    assert (result.low + result.high) / 2 == pytest.approx(result.difference, rel=0.01)
    assert result.relative == pytest.approx(treated.mean() / holdout.mean() - 1, abs=1e-3)
    assert result.relative_low is not None
    assert result.relative_high is not None
    assert result.relative_low < result.relative < result.relative_high


def test_groups_without_a_difference_have_an_interval_that_includes_zero() -> None:
    result = found(converted(1000, 100), converted(1000, 100))
    assert result.difference == 0
    assert result.low < 0 < result.high
    assert result.relative == 0


def test_a_holdout_that_never_converted_still_has_an_interval_but_no_relative_lift() -> None:
    result = found(converted(500, 50), converted(50, 0))
    assert result.low < result.difference < result.high
    assert (result.relative, result.relative_low, result.relative_high) == (None, None, None)
    assert result.relative_reason == HOLDOUT_NEAR_ZERO


def test_a_holdout_whose_mean_may_be_zero_has_no_relative_lift_and_says_so() -> None:
    result = found(converted(500, 50), converted(50, 1))
    assert (result.relative, result.relative_low, result.relative_high) == (None, None, None)
    assert result.relative_reason == HOLDOUT_NEAR_ZERO


def test_a_share_of_a_loss_is_not_stated() -> None:
    result = found(tally(np.full(500, -50_000)), tally(np.full(500, -100_000)))
    assert result.difference == 50
    assert (result.relative, result.relative_reason) == (None, HOLDOUT_BELOW_ZERO)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_a_higher_level_has_a_wider_interval(level: float) -> None:
    narrow, wide = (found(converted(500, 50), converted(500, 30), at) for at in (level, level + 0.005))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_too_few_users_or_no_outcomes_are_said_instead_of_an_interval() -> None:
    few = lift(converted(1000, 10), converted(FEWEST_USERS - 1, 5))
    assert isinstance(few, NotYet)
    assert few.reason == "too_few_users"
    none = lift(converted(1000, 0), converted(1000, 0))
    assert isinstance(none, NotYet)
    assert none.reason == "no_outcomes"
    with pytest.raises(ValueError, match="level"):
        lift(converted(1000, 10), converted(1000, 10), 95)


def test_refunds_beyond_earnings_are_survived() -> None:
    losses = GroupTally(100, -50_000, 50_000_000)
    assert found(losses, GroupTally(100)).difference == -0.5
    assert found(GroupTally(100, 0, 2_000_000), GroupTally(100)).low < 0


@pytest.mark.parametrize("one_more", [-1, 0, 1, 37, 100_000])
@pytest.mark.parametrize("users", [(1_000, 1_000), (10_000, 100), (20, 20)])
def test_earnings_and_refunds_that_cancel_have_the_interval_of_the_users_real_spread(
    users: tuple[int, int], one_more: int
) -> None:
    halves = [np.repeat([100_000, -100_000], n // 2) for n in users]
    halves[0][0] += one_more
    result = found(*(tally(half) for half in halves))
    width = 2 * 1.96 * 100 * math.sqrt(sum(1 / n for n in users))
    assert result.high - result.low == pytest.approx(width, rel=0.1)
    assert result.low < result.difference < result.high
    looked = anytime_lift(*(tally(half) for half in halves))
    assert isinstance(looked, AnytimeLift)
    assert looked.high - looked.low == pytest.approx(width / 1.96 * anytime_quantile(sum(users), 0.95, 10_000), rel=0.1)
    assert (result.relative, result.relative_reason) == (None, HOLDOUT_NEAR_ZERO)


def test_the_typical_outcome_is_never_larger_than_the_largest() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        totals = rng.choice([-1, 1], 50) * np.exp(rng.normal(5, 3, 50)).round()
        assert 0 < typical(tally(totals)).size_milli <= abs(totals).max()
        assert abs(typical(tally(totals)).mean_milli) <= typical(tally(totals)).size_milli + 1


def test_a_few_large_outcomes_are_seen_to_carry_the_rest() -> None:
    even, carried = converted(1_000, 200), tally(np.array([1_000] * 199 + [1_000_000] + [0] * 800))
    assert found(even, even).rests_on == 200
    assert found(even, carried).rests_on < 2


def test_everybody_converting_in_both_groups_is_survived() -> None:
    result = found(converted(50, 50), converted(50, 50))
    assert result.low < 0 < result.high


tallies = st.builds(GroupTally, st.integers(0, 10**6), st.integers(-(10**9), 10**9), st.integers(0, 10**15))

MOST = 2**63 - 1
amounts = st.one_of(
    st.integers(-MOST, MOST), st.integers(-3, 3), st.sampled_from([0, MOST, -MOST, 100_000, -100_000, 1_000])
)
groups = st.lists(st.tuples(amounts, st.integers(1, 10**6)), max_size=5)
"""Of a group: what some of its users have, and how many they are."""


def counted(group: list[tuple[int, int]]) -> GroupTally:
    return sum((GroupTally(n, n * x, n * x * x, n * abs(x)) for x, n in group), GroupTally())


@given(groups, groups, st.floats(0.01, 0.999), st.booleans())
def test_whatever_users_have_an_interval_is_finite_and_ordered_or_there_is_a_named_reason(
    treated: list[tuple[int, int]], holdout: list[tuple[int, int]], level: float, sizes_known: bool
) -> None:
    sides = [counted(treated), counted(holdout)]
    if not sizes_known:  # as of tallies that were stored before sizes were counted
        sides = [GroupTally(one.users, one.total_milli, one.squares_milli2) for one in sides]
    for made in (lift(*sides, level), anytime_lift(*sides, level)):
        if isinstance(made, NotYet):
            assert made.reason in {"too_few_users", "no_outcomes"}
            continue
        assert all(math.isfinite(value) for value in astuple(made) if isinstance(value, float))
        assert made.low < made.high
    made = lift(*sides, level)
    if isinstance(made, Lift):
        assert (made.relative is None) == (made.relative_low is None) == (made.relative_high is None)
        if made.relative is None:
            assert made.relative_reason in {HOLDOUT_NEAR_ZERO, HOLDOUT_BELOW_ZERO}
        assert made.high - made.low < 100 * math.sqrt(
            sum(one.squares_milli2 for one in sides) / min(one.users for one in sides)
        )


@given(tallies, tallies, tallies)
def test_tallies_of_shards_add_up_in_any_order(a: GroupTally, b: GroupTally, c: GroupTally) -> None:
    assert (a + b) + c == a + (b + c) == c + b + a
    assert a + GroupTally() == a


def test_groups_of_the_intended_size_are_not_suspicious() -> None:
    result = sample_ratio({"holdout": 52, "uniform": 47, "policy": 901}, {"holdout": 5, "uniform": 5, "policy": 90})
    assert result.p_value > 0.5
    assert not result.suspicious


def test_groups_of_another_size_are() -> None:
    result = sample_ratio({"holdout": 100, "uniform": 47, "policy": 853}, {"holdout": 5, "uniform": 5, "policy": 90})
    assert result.suspicious


def test_under_the_intended_shares_suspicion_is_as_rare_as_it_says() -> None:
    rng = np.random.default_rng(3)
    shares = {"holdout": 0.05, "uniform": 0.05, "policy": 0.9}
    draws = rng.multinomial(2_000, list(shares.values()), 4_000)
    p = np.array([sample_ratio(dict(zip(shares, row.tolist(), strict=True)), shares).p_value for row in draws])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean(p < 0.001) < 0.004


def test_shares_of_zero_and_groups_without_users_have_an_answer() -> None:
    assert not sample_ratio({}, {"holdout": 0.1, "policy": 0.9}).suspicious
    assert not sample_ratio({"policy": 10}, {"holdout": 0, "policy": 1}).suspicious
    assert sample_ratio({"holdout": 1, "policy": 10}, {"holdout": 0, "policy": 1}).suspicious
    with pytest.raises(ValueError, match="strangers"):
        sample_ratio({"strangers": 1}, {"policy": 1})
    for shares in ({"policy": 0.0}, {"policy": -1.0, "holdout": 2.0}):
        with pytest.raises(ValueError, match="shares"):
            sample_ratio({}, shares)


@pytest.mark.parametrize(
    ("p", "df", "quantile"),
    [(0.975, 4, 2.7764), (0.975, 10, 2.2281), (0.95, 30, 1.6973), (0.995, 19, 2.8609), (0.025, 10, -2.2281)],
)
def test_students_quantiles_are_those_of_the_tables(p: float, df: float, quantile: float) -> None:
    assert student_t(p, df) == pytest.approx(quantile, abs=3e-3)
    assert student_t(p, 1e12) == pytest.approx(NormalDist().inv_cdf(p))


@pytest.mark.parametrize(
    ("x", "df", "tail"),
    [(6.635, 1, 0.01), (9.210, 2, 0.01), (16.266, 3, 0.001), (18.307, 10, 0.05), (19.675, 11, 0.05)],
)
def test_chi_squared_tails_are_those_of_the_tables(x: float, df: int, tail: float) -> None:
    assert chi2_tail(x, df) == pytest.approx(tail, rel=1e-3)
    assert chi2_tail(0.0, df) == 1.0


def test_a_few_users_in_a_small_group_are_no_reason_for_suspicion() -> None:
    shares = {"holdout": 0.05, "uniform": 0.05, "policy": 0.9}
    assert not sample_ratio({"uniform": 1}, shares).suspicious
    assert not sample_ratio({"holdout": 99}, shares).suspicious
    assert sample_ratio({"holdout": 100}, shares).suspicious
