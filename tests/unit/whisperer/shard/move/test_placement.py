"""Plans of moves: shards come to carry alike, in few steps, and nothing stays on one that is emptied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.shard.move.placement import ENOUGH, Held, balance, loads

SHARDS = [0, 1, 2]

holdings = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1_000), st.floats(0, 1_000)), min_size=1, max_size=64
).map(lambda found: [Held("t", p, shard, users, rate) for p, (shard, users, rate) in enumerate(found)])


def _after(held: list[Held], draining: tuple[int, ...] = ()) -> dict[int, float]:
    targets = {step.held: step.target for step in balance(held, SHARDS, draining)}
    return loads([Held(h.tenant, h.partition, targets.get(h, h.shard), h.users, h.events_per_s) for h in held], SHARDS)


@given(holdings)
def test_a_plan_never_makes_the_fullest_shard_fuller(held: list[Held]) -> None:
    assert max(_after(held).values()) <= max(loads(held, SHARDS).values()) + 1e-9


@given(holdings)
def test_nothing_moves_twice_nor_to_where_it_is(held: list[Held]) -> None:
    plan = balance(held, SHARDS)
    assert len({step.held for step in plan}) == len(plan)
    assert all(step.target != step.held.shard for step in plan)


@given(holdings, st.integers(0, 2))
def test_a_shard_that_is_emptied_keeps_nothing_and_is_given_nothing(held: list[Held], emptied: int) -> None:
    plan = balance(held, SHARDS, [emptied])
    assert {h for h in held if h.shard == emptied} <= {step.held for step in plan}
    assert all(step.target != emptied for step in plan)


def test_an_empty_shard_is_given_its_share() -> None:
    held = [Held("t", p, p % 2, 100, 10.0) for p in range(60)]
    after = _after(held)
    assert max(after.values()) <= sum(after.values()) / 3 * (1 + ENOUGH)


def test_users_and_events_both_count() -> None:
    """One shard has all the users, another all the traffic: each is as full as the other."""
    held = [Held("t", p, 0, 100) for p in range(30)] + [Held("t", p, 1, 0, 10.0) for p in range(30, 60)]
    before = loads(held, SHARDS)
    assert before[0] == pytest.approx(before[1])
    after = _after(held)
    assert max(after.values()) <= 2 / 3 * (1 + ENOUGH)


def test_shards_that_carry_alike_are_left_alone() -> None:
    assert balance([Held("t", p, p % 3, 100, 1.0) for p in range(63)], SHARDS) == []


def test_the_last_shard_cannot_be_emptied() -> None:
    with pytest.raises(ValueError, match="no shard is left"):
        balance([Held("t", 0, 0, 1)], [0], [0])
