"""Calls under way on average, and how many replicas they make."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cluster.launch.autoscaling import DIRECT_CALLS, by_calls
from serve_apps.decisions.load import Load


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_mean_is_over_time_since_it_was_asked_last() -> None:
    clock = Clock()
    load = Load(clock)
    with load.one():
        clock.now = 1.0
        with load.one():
            clock.now = 3.0
        clock.now = 4.0
        assert load.mean() == pytest.approx((1 + 2 * 2 + 1) / 4)
        clock.now = 6.0
    clock.now = 8.0
    assert load.mean() == pytest.approx(0.5)


def test_asked_twice_at_once_it_is_what_is_under_way() -> None:
    load = Load(Clock())
    with load.one():
        assert load.mean() == 1.0


@pytest.mark.parametrize(
    ("through_serve", "direct", "wanted"),
    [(0, {}, 0.0), (4, {}, 1.0), (0, {"a": 6.0, "b": 2.0}, 2.0), (2, {"a": 4.0}, 1.5)],
)
def test_replicas_follow_calls_of_both_ways(through_serve: int, direct: dict[str, float], wanted: float) -> None:
    context = SimpleNamespace(
        total_num_requests=through_serve,
        aggregated_metrics={DIRECT_CALLS: direct} if direct else {},
        config=SimpleNamespace(get_target_ongoing_requests=lambda: 4),
    )
    assert by_calls(context) == (wanted, {})
