"""The buckets, held to another implementation of the same algorithm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import throttled
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.limiter import BURST_S, Ask, Limiter, available, burst_of, taken


class Oracle:
    """throttled-py's GCRA, in memory, at times that a test names."""

    def __init__(self, rate: int) -> None:
        quota = throttled.rate_limiter.per_duration(timedelta(seconds=1), limit=rate, burst=int(rate * BURST_S))
        self._limiter = throttled.Throttled("k", using="gcra", quota=quota, store=throttled.MemoryStore())
        self.now = 0.0

    def grants(self, count: int) -> bool:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("throttled.utils.now_mono_f", lambda: self.now)
            return not self._limiter.limit("k", cost=count).limited


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 3.0])), min_size=1, max_size=80),
)
def test_it_grants_what_another_implementation_grants(rate: int, requests: list[tuple[int, float]]) -> None:
    ours, theirs, now = Limiter(), Oracle(rate), 1_000.0
    for count, pause_s in requests:
        now += pause_s
        theirs.now = now
        count = min(count, int(rate * BURST_S))
        arrival_s = ours._arrivals.get("k", now)
        if abs(available(arrival_s, now, rate) - count) < 1e-6:
            now += 1e-3  # on the edge, rounding decides
            theirs.now = now
        granted = ours.lease([Ask("k", rate, count, count)], now)[0].granted
        assert (granted == count) == theirs.grants(count)


@given(st.floats(0.1, 1e5), st.floats(0, 1e6), st.lists(st.floats(0, 1e4), max_size=20))
def test_nothing_is_had_twice_and_what_is_given_back_can_be_had_again(
    rate: float, now: float, counts: list[float]
) -> None:
    arrival_s = now
    for count in counts:
        before = available(arrival_s, now, rate)
        arrival_s = taken(arrival_s, now, rate, count)
        assert available(arrival_s, now, rate) == pytest.approx(before - count, rel=1e-4, abs=1e-3 * rate)
    for count in counts:
        arrival_s = taken(arrival_s, now, rate, -count)
    assert available(arrival_s, now, rate) <= burst_of(rate)


def test_giving_back_more_than_was_had_does_not_overfill() -> None:
    limiter = Limiter()
    answers: list[Any] = limiter.lease([Ask("k", 10, 0, 0, back=1_000.0), Ask("k", 10, 1, 1_000)], 5.0)
    assert answers[1].granted == burst_of(10)
