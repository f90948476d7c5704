"""Rates over several replicas, against a limiter and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.limiter import BURST_S, Ask, Lease, Limiter
from serve_apps.gateway.http.limits import AWAY_S, ROUNDS_PER_S, Limits
from whisperer.errors import UnavailableError

_runner = asyncio.Runner()
_run = _runner.run


@pytest.fixture(scope="module", autouse=True)
def one_loop() -> Iterator[None]:
    """For all examples: making one takes longer than they do."""
    yield
    _runner.close()


class Stand:
    """Replicas before one limiter. Waiting moves the clock."""

    def __init__(self, n_replicas: int) -> None:
        self.now = 1_000.0
        self.limiter = Limiter()
        self.is_away = False
        self.n_calls = 0
        self.replicas = [
            Limits(self._lease, n_replicas=lambda: n_replicas, clock=lambda: self.now, sleep=self._sleep)
            for _ in range(n_replicas)
        ]

    async def _lease(self, asks: list[Ask]) -> list[Lease]:
        self.n_calls += 1
        if self.is_away:
            raise UnavailableError("away")
        return self.limiter.lease(asks, self.now)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def take(self, replica: int, count: float, rate: float, name: str = "k") -> float | None:
        return _run(self.replicas[replica].take(name, count, rate))

    def next_round(self, replica: int) -> None:
        _run(self.replicas[replica]._next_round())


def test_no_limit_grants_everything_and_asks_nobody() -> None:
    stand = Stand(1)
    assert stand.take(0, 10**9, 0) is None
    assert stand.n_calls == 0


def test_a_burst_is_granted_then_the_rate_holds() -> None:
    stand = Stand(1)
    assert stand.take(0, 100 * BURST_S, 100) is None
    wait_s = stand.take(0, 50, 100)
    assert wait_s is not None
    assert 0.4 < wait_s <= 0.5
    stand.now += 0.3
    assert stand.take(0, 50, 100) is not None
    stand.now += 0.3
    assert stand.take(0, 50, 100) is None


def test_one_name_does_not_use_up_anothers_tokens() -> None:
    stand = Stand(1)
    assert stand.take(0, 2, 1, "a") is None
    assert stand.take(0, 1, 1, "a") is not None
    assert stand.take(0, 2, 1, "b") is None


def test_a_batch_larger_than_the_burst_passes_when_the_bucket_is_full_and_is_paid_for() -> None:
    stand = Stand(1)
    assert stand.take(0, 500, 10) is None
    stand.now += 1.0
    assert stand.take(0, 1, 10) is not None


def test_a_large_batch_that_is_refused_does_not_keep_a_single_event_out() -> None:
    stand = Stand(1)
    assert stand.take(0, 195, 100) is None
    assert stand.take(0, 150, 100) is not None
    assert stand.take(0, 1, 100) is None


def test_what_one_replica_does_not_use_another_gets() -> None:
    stand = Stand(2)
    assert stand.take(0, 150, 100) is None
    assert stand.take(0, 1, 100) is None  # leased with a supply
    stand.now += 0.01
    held = stand.replicas[0]._held["k"].tokens
    assert held > 0
    for _ in range(2):  # the first time it was used until just before
        stand.now += 2.0
        stand.next_round(0)
    assert stand.replicas[0]._held["k"].tokens == 0
    assert stand.take(1, 200, 100) is None


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.floats(0, 0.2)), min_size=1, max_size=120),
)
def test_all_replicas_together_let_through_the_rate_and_one_burst(
    n_replicas: int, rate: int, requests: list[tuple[int, int, float]]
) -> None:
    stand = Stand(n_replicas)
    began, passed = stand.now, 0
    for replica, count, pause_s in requests:
        stand.now += pause_s
        if count <= rate * BURST_S and stand.take(replica % n_replicas, count, rate) is None:
            passed += count
        assert passed <= (stand.now - began) * rate + rate * BURST_S + 1e-6


def test_while_the_limiter_is_away_each_replica_grants_its_part_of_the_rate() -> None:
    stand = Stand(2)
    stand.is_away = True
    began, passed = stand.now, 0
    while stand.now < began + 60:
        stand.now += 0.005
        passed += sum(stand.take(replica, 1, 50) is None for replica in (0, 1))
    allowed = (stand.now - began) * 50
    assert 0.95 * allowed <= passed <= allowed + 50 * BURST_S
    assert stand.n_calls <= 60 / AWAY_S * 2 + 4


def test_a_call_carries_many_requests() -> None:
    stand = Stand(1)
    began = stand.now
    for _ in range(2_000):
        stand.now += 0.001
        assert stand.take(0, 1, 10_000) is None
    assert stand.n_calls <= (stand.now - began) * ROUNDS_PER_S + 1


async def test_requests_that_wait_together_share_one_call_and_the_rate() -> None:
    limiter, n_calls = Limiter(), 0

    async def lease(asks: list[Ask]) -> list[Lease]:
        nonlocal n_calls
        n_calls += 1
        await asyncio.sleep(0)
        return limiter.lease(asks, 5.0)

    limits = Limits(lease, clock=lambda: 5.0)
    answers = await asyncio.gather(*(limits.take("k", 1, 10) for _ in range(50)))
    assert answers.count(None) == 20
    assert n_calls <= 3


async def test_at_a_steady_pace_below_the_rate_only_the_first_requests_wait() -> None:
    limiter, now = Limiter(), 5.0

    async def until(then: float) -> None:
        while now < then:  # noqa: ASYNC110  the clock is the test's
            await asyncio.sleep(0)

    async def lease(asks: list[Ask]) -> list[Lease]:
        found = limiter.lease(asks, now)
        await until(now + 0.02)
        return found

    limits = Limits(lease, clock=lambda: now, sleep=lambda seconds: until(now + seconds))
    waited = []
    for number in range(5_000):
        taking = asyncio.ensure_future(limits.take("k", 1, 10_000))
        await asyncio.sleep(0)
        if not taking.done():
            waited.append(number)
        while not taking.done():
            now += 0.001
            await asyncio.sleep(0)
        assert taking.result() is None
        now += 0.001
        for _ in range(5):
            await asyncio.sleep(0)
    assert max(waited) < 50


async def test_a_request_takes_of_all_its_rates_or_of_none() -> None:
    limiter = Limiter()

    async def lease(asks: list[Ask]) -> list[Lease]:
        return limiter.lease(asks, 5.0)

    limits = Limits(lease, clock=lambda: 5.0)
    assert await limits.take_all([("narrow", 1)], 2) is None
    assert await limits.take_all([("wide", 100), ("narrow", 1)], 1) is not None
    assert await limits.take_all([("wide", 100)], 200) is None
    assert await limits.take_all([("wide", 100), ("none", 0)], 1) is not None


async def test_who_waited_is_not_refused_because_others_took_the_tokens_that_came() -> None:
    limiter, thieves = Limiter(), []

    async def lease(asks: list[Ask]) -> list[Lease]:
        found = limiter.lease(asks, 5.0)
        if not thieves:  # they run before whoever waits for this lease
            thieves.extend(asyncio.ensure_future(limits.take("k", 1, 200)) for _ in range(20))
        return found

    limits = Limits(lease, clock=lambda: 5.0, sleep=lambda _: asyncio.sleep(0))
    assert await limits.take("k", 1, 200) is None
    assert await asyncio.gather(*thieves) == [None] * 20
