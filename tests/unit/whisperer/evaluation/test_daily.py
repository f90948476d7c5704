"""Lift by day: exact sums in whatever order they come, looks that may be taken daily, and sizes that are checked daily."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.evaluation.daily import MOST_DAYS, anytime_ratio, looks
from whisperer.evaluation.lift import GroupTally, NotYet
from whisperer.evaluation.sequential import AnytimeLift, anytime_lift
from whisperer.vocabulary.groups import GROUPS

SHARES = {"holdout": 0.1, "uniform": 0.1, "policy": 0.8}

tallies = st.builds(GroupTally, st.integers(0, 10**6), st.integers(-(10**12), 10**12), st.integers(0, 10**24))
entries = st.tuples(st.integers(20_000, 20_010), st.sampled_from(GROUPS), tallies)


@given(st.lists(entries, min_size=1, max_size=30))
def test_looks_do_not_depend_on_the_order_or_parts_in_which_shards_tell(
    told: list[tuple[int, str, GroupTally]],
) -> None:
    shuffled = sorted(told, key=lambda entry: (entry[1], -entry[0], entry[2].users))
    assert looks(told, SHARES) == looks(shuffled, SHARES)
    last = looks(told, SHARES)[-1]
    for group in GROUPS:
        whole = sum((tally for _, name, tally in told if name == group), GroupTally())
        assert last.so_far.get(group, GroupTally()) == whole
    assert sum((look.joined.get("policy", GroupTally()) for look in looks(told, SHARES)), GroupTally()) == (
        last.so_far.get("policy", GroupTally())
    )


def test_each_comparison_is_of_the_groups_it_names() -> None:
    holdout, uniform, policy = (GroupTally(500, total, total * 1000) for total in (50_000, 75_000, 150_000))
    (look,) = looks([(1, "holdout", holdout), (1, "uniform", uniform), (1, "policy", policy)], SHARES)
    assert look.lift == anytime_lift(policy, holdout)
    assert look.uniform_lift == anytime_lift(uniform, holdout)
    assert look.over_uniform == anytime_lift(policy, uniform)
    assert isinstance(look.lift, AnytimeLift)
    assert look.lift.difference == pytest.approx(0.2)


def test_a_group_without_users_is_no_error() -> None:
    (look,) = looks([(1, "policy", GroupTally(30, 1_000, 1_000_000))], SHARES)
    assert isinstance(look.lift, NotYet)


def test_days_before_those_kept_are_in_the_first_one() -> None:
    told = [(day, "policy", GroupTally(1, 10, 100)) for day in range(MOST_DAYS + 5)]
    found = looks(told, SHARES)
    assert len(found) == MOST_DAYS
    assert (found[0].day, found[0].joined["policy"].users, found[-1].so_far["policy"].users) == (5, 6, MOST_DAYS + 5)


def test_sizes_that_fit_are_seldom_suspected_at_any_of_many_looks() -> None:
    rng = np.random.default_rng(3)
    groups = list(SHARES)
    suspected = 0
    for _ in range(200):
        counts = np.cumsum(rng.multinomial(40, [SHARES[group] for group in groups], 60), axis=0)
        suspected += min(anytime_ratio(dict(zip(groups, row, strict=True)), SHARES) for row in counts.tolist()) < 0.05
    assert suspected <= 200 * 0.05


def test_sizes_that_do_not_fit_are_found_out_and_stay_so() -> None:
    lopsided = [
        (day, group, GroupTally(n, 0, 0)) for day in range(10) for group, n in (("holdout", 40), ("policy", 160))
    ]
    found = looks(lopsided, SHARES)
    assert found[-1].suspicious
    repaired = looks([*lopsided, (11, "policy", GroupTally(1_400)), (11, "uniform", GroupTally(400))], SHARES)
    assert repaired[-1].ratio_p <= found[-1].ratio_p


def test_a_group_that_should_not_exist_is_certain_evidence() -> None:
    assert anytime_ratio({"uniform": 1}, {"holdout": 0.5, "uniform": 0.0, "policy": 0.5}) == 0.0
    for shares in ({"holdout": 1.0}, {"policy": -1.0, "holdout": 2.0}, {"policy": 0.0}):
        with pytest.raises(ValueError, match="shares"):
            anytime_ratio({"policy": 1}, shares)
