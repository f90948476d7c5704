"""The experiment's groups: drawn by hash, kept, and joined."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.eligibility.groups import assigned, draw, merged
from whisperer.eligibility.standing import Assignment, Standing
from whisperer.vocabulary.groups import GROUPS, Group

KEYS = [f"u:{n}" for n in range(20_000)]

assignments = st.one_of(
    st.none(),
    st.builds(
        Assignment,
        st.integers(0, 2),
        st.sampled_from(["u:ada", "u:bob", "a:1", "a:2"]),
        st.sampled_from(GROUPS),
        st.booleans(),
    ),
)


def test_groups_have_their_shares() -> None:
    found = Counter(draw(key, "salt", 0.05, 0.1) for key in KEYS)
    # five standard deviations of a binomial
    assert abs(found[Group.HOLDOUT] - 1_000) < 155
    assert abs(found[Group.UNIFORM] - 2_000) < 213
    assert set(found) == set(GROUPS)


def test_two_tenants_draw_independently() -> None:
    here = {key for key in KEYS if draw(key, "one", 0.1, 0) == Group.HOLDOUT}
    there = {key for key in KEYS if draw(key, "two", 0.1, 0) == Group.HOLDOUT}
    assert abs(len(here & there) - 200) < 71


def test_a_draw_never_changes_between_releases() -> None:
    assert "".join(draw(f"u:{n}", "salt", 0.3, 0.3)[0] for n in range(24)) == "uuupphhphpuupphpuhpuuupp"


@given(st.sampled_from(KEYS), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_changing_one_share_moves_nobody_between_the_others(
    key: str, share: float, before: float, after: float
) -> None:
    moved = {draw(key, "salt", share, before), draw(key, "salt", share, after)}
    assert moved not in ({Group.HOLDOUT, Group.POLICY}, {Group.HOLDOUT, Group.UNIFORM})
    moved = {draw(key, "salt", before, share), draw(key, "salt", after, share)}
    assert moved not in ({Group.UNIFORM, Group.POLICY}, {Group.UNIFORM, Group.HOLDOUT})


@pytest.mark.parametrize(
    ("holdout", "uniform", "group"), [(1, 0, Group.HOLDOUT), (0, 1, Group.UNIFORM), (0, 0, Group.POLICY)]
)
def test_a_whole_share_takes_everyone(holdout: float, uniform: float, group: str) -> None:
    assert {draw(key, "salt", holdout, uniform) for key in KEYS[:2_000]} == {group}


def test_a_group_is_drawn_once_and_kept_when_shares_change() -> None:
    standing = Standing()
    first = assigned(standing, "u:ada", 7, "salt", holdout=1, uniform=0)
    assert first == standing.assignment == Assignment(7, "u:ada", Group.HOLDOUT)
    assert assigned(standing, "u:ada", 8, "salt", holdout=0, uniform=1) == first


@given(assignments, assignments, assignments)
def test_joining_assignments_ends_the_same_in_any_order(
    a: Assignment | None, b: Assignment | None, c: Assignment | None
) -> None:
    assert merged(a, a) == a
    assert merged(a, b) == merged(b, a)
    assert len({merged(merged(x, y), z) for x, y, z in permutations([a, b, c])}) == 1
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(st.lists(assignments, min_size=1, max_size=4))
def test_users_of_different_groups_are_conflicted_and_of_one_group_are_not(parts: list[Assignment | None]) -> None:
    joined = None
    for part in parts:
        joined = merged(joined, part)
    known = [part for part in parts if part is not None]
    assert (joined is None) == (not known)
    if joined is not None:
        assert joined.conflicted == (len({p.group for p in known}) > 1 or any(p.conflicted for p in known))


def test_the_known_users_group_is_kept_though_the_anonymous_one_was_first() -> None:
    anonymous, known = Assignment(1, "a:1", Group.POLICY), Assignment(9, "u:ada", Group.HOLDOUT)
    assert merged(anonymous, known) == Assignment(9, "u:ada", Group.HOLDOUT, conflicted=True)
    assert merged(Assignment(1, "u:bob", Group.HOLDOUT), known) == Assignment(1, "u:bob", Group.HOLDOUT)
