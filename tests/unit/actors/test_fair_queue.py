"""Turns go round by tenant; what is above a bound is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.fair_queue import FairQueue, Turn
from whisperer.errors import OverloadError, TooManyError

TENANTS = ("a", "b", "c", "d")


def test_a_tenant_with_many_jobs_waits_for_one_of_anothers_at_most() -> None:
    queue = FairQueue(at_once=1, tenant_at_once=1, open_=100, tenant_open=50)
    many = [queue.join("many") for _ in range(20)]
    few = queue.join("few")
    many[0].leave()
    assert few.is_granted or many[1].is_granted
    if not few.is_granted:
        many[1].leave()
    assert few.is_granted


def test_what_one_tenant_may_have_open_is_bounded_and_costs_no_other() -> None:
    queue = FairQueue(at_once=2, tenant_at_once=1, open_=10, tenant_open=3)
    for _ in range(3):
        queue.join("many")
    with pytest.raises(TooManyError) as refused:
        queue.join("many")
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (429, "too_many_jobs", True)
    assert refused.value.retry_after_s
    assert queue.join("few").is_granted


def test_what_all_have_open_is_bounded() -> None:
    queue = FairQueue(at_once=1, tenant_at_once=1, open_=2, tenant_open=2)
    queue.join("a")
    queue.join("b")
    with pytest.raises(OverloadError) as refused:
        queue.join("c")
    assert refused.value.status == 503


@given(
    st.lists(st.tuples(st.sampled_from(TENANTS), st.booleans(), st.integers(0, 99)), max_size=120),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_no_bound_is_passed_nobody_is_forgotten_and_nobody_is_passed_over_twice(
    steps: list[tuple[str, bool, int]], at_once: int, tenant_at_once: int
) -> None:
    queue = FairQueue(at_once, tenant_at_once, open_=20, tenant_open=8)
    turns: list[Turn] = []
    since: dict[Turn, list[str]] = {}
    """of a tenant's first waiting turn, who was granted since it came to wait at the head"""

    def look(before: set[Turn]) -> None:
        granted = [turn for turn in turns if turn.is_granted]
        assert queue.n_granted == len(granted) <= at_once
        assert queue.n_waiting == len(turns) - len(granted)
        for tenant in TENANTS:
            assert sum(turn.tenant == tenant for turn in granted) <= tenant_at_once
        heads = {turn.tenant: turn for turn in reversed(turns) if not turn.is_granted}
        for tenant, head in heads.items():
            may = sum(turn.tenant == tenant for turn in granted) < tenant_at_once
            assert not may or len(granted) == at_once, "a place is free and somebody who may have it waits"
            if may:
                passed = since.setdefault(head, [])
                passed += [turn.tenant for turn in granted if turn not in before and turn.tenant != tenant]
                assert len(passed) == len(set(passed)), "another tenant was served twice meanwhile"
            else:
                since.pop(head, None)

    for tenant, joins, at in steps:
        before = {turn for turn in turns if turn.is_granted}
        if joins:
            try:
                turns.append(queue.join(tenant))
            except OverloadError:
                mine = sum(turn.tenant == tenant for turn in turns)
                assert mine == 8 or len(turns) == 20
        elif turns:
            left = turns.pop(at % len(turns))
            left.leave()
            left.leave()
        look(before)
    for turn in turns:
        turn.leave()
    assert (queue.n_granted, queue.n_waiting) == (0, 0)
