from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.breaker import (
    AT_LEAST,
    FIRST_OPEN_MS,
    IN_A_ROW,
    LONGEST_OPEN_MS,
    PROBE_PATIENCE_MS,
    Breaker,
    BreakerState,
)


def fail(breaker: Breaker, now: float, n: int = 1) -> None:
    for _ in range(n):
        permit = breaker.admit(now)
        assert permit is not None
        breaker.settle(permit, now, False)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    fail(breaker, now, IN_A_ROW)
    assert breaker.state(now) == BreakerState.OPEN
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    fail(breaker, 0, IN_A_ROW - 1)
    permit = breaker.admit(0)
    assert permit is not None
    breaker.settle(permit, 0, True)  # begins anew
    fail(breaker, 0, IN_A_ROW - 1)
    assert breaker.state(0) == BreakerState.CLOSED
    fail(breaker, 0)
    assert breaker.state(0) == BreakerState.OPEN
    assert breaker.admit(0) is None
    assert breaker.wait_ms(0) == FIRST_OPEN_MS


def test_it_opens_when_half_of_many_fail_though_never_in_a_row() -> None:
    breaker, n = Breaker(), 0
    while breaker.state(n) == BreakerState.CLOSED:
        permit = breaker.admit(n)
        assert permit is not None
        breaker.settle(permit, n, n % 2 == 0)
        n += 1
    assert n == AT_LEAST


def test_what_says_nothing_about_the_account_changes_nothing() -> None:
    breaker = Breaker()
    for _ in range(100):
        permit = breaker.admit(0)
        assert permit is not None
        breaker.settle(permit, 0, None)
    assert breaker.state(0) == BreakerState.CLOSED


def test_one_probe_goes_through_and_decides() -> None:
    breaker = opened()
    now = FIRST_OPEN_MS
    assert breaker.state(now) == BreakerState.HALF_OPEN
    probe = breaker.admit(now)
    assert probe is not None
    assert breaker.admit(now) is None
    breaker.settle(probe, now, True)
    assert breaker.state(now) == BreakerState.CLOSED
    assert all(breaker.admit(now) for _ in range(50))


def test_a_probe_that_was_not_tried_gives_its_place_to_the_next() -> None:
    breaker = opened()
    probe = breaker.admit(FIRST_OPEN_MS)
    assert probe is not None
    breaker.settle(probe, FIRST_OPEN_MS, None)
    assert breaker.admit(FIRST_OPEN_MS) is not None


def test_each_probe_that_fails_leaves_it_alone_for_twice_as_long_up_to_a_bound() -> None:
    breaker, now, waits = opened(), 0.0, [FIRST_OPEN_MS]
    for _ in range(10):
        now += breaker.wait_ms(now)
        fail(breaker, now)
        waits.append(breaker.wait_ms(now))
    assert waits[:3] == [FIRST_OPEN_MS, 2 * FIRST_OPEN_MS, 4 * FIRST_OPEN_MS]
    assert waits[-1] == LONGEST_OPEN_MS


def test_a_provider_that_says_for_how_long_is_left_alone_for_as_long() -> None:
    breaker = Breaker()
    for _ in range(IN_A_ROW):
        permit = breaker.admit(0)
        assert permit is not None
        breaker.settle(permit, 0, False, pause_ms=60_000)
    assert breaker.wait_ms(0) == 60_000


def test_what_was_under_way_when_it_opened_changes_nothing() -> None:
    breaker = Breaker()
    late = breaker.admit(0)
    assert late is not None
    fail(breaker, 0, IN_A_ROW)
    breaker.settle(late, 1, True)
    assert breaker.state(1) == BreakerState.OPEN
    breaker = Breaker()
    under_way = [breaker.admit(0) for _ in range(50)]
    for permit in under_way:
        assert permit is not None
        breaker.settle(permit, 0, False)
    assert (breaker.n_opened, breaker.wait_ms(0)) == (1, FIRST_OPEN_MS)


@given(st.lists(st.tuples(st.sampled_from(["ask", "well", "bad", "nothing"]), st.floats(0, 20_000)), max_size=200))
def test_while_it_is_not_closed_at_most_one_probe_a_period_goes_through(steps: list[tuple[str, float]]) -> None:
    breaker, now = opened(), 0.0
    pending: list = []
    let_through: list[float] = []
    for what, passes in steps:
        now += passes
        if what == "ask":
            was_closed = breaker.state(now) == BreakerState.CLOSED
            permit = breaker.admit(now)
            if permit is None:
                assert breaker.wait_ms(now) > 0
                continue
            pending.append(permit)
            assert permit.is_probe != was_closed
            if permit.is_probe:
                unanswered = [at for at in let_through if now - at < PROBE_PATIENCE_MS]
                assert not unanswered, "two probes at a time"
                let_through.append(now)
        elif pending:
            permit = pending.pop(0)
            breaker.settle(permit, now, {"well": True, "bad": False, "nothing": None}[what])
            if permit.is_probe:
                let_through.clear()  # the newest probe was answered, or this answer came too late to matter


def test_it_knows_since_when_it_fails_and_since_when_it_is_well_again() -> None:
    assert Breaker().since is None
    breaker = opened(1_000.0)
    assert breaker.since == 1_000.0
    fail(breaker, 1_000 + FIRST_OPEN_MS)  # the probe: it fails since before that
    assert breaker.since == 1_000.0
    at = 1_000 + 3 * FIRST_OPEN_MS
    permit = breaker.admit(at)
    assert permit is not None
    breaker.settle(permit, at, True)
    assert breaker.state(at) == BreakerState.CLOSED
    assert breaker.since == at
