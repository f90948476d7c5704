"""Histograms, step times and the reports that replicas exchange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.directory.replica_reports import FORGET_AFTER_S, MAX_REPLICAS, ReplicaReports
from actors.telemetry.measures import BYTES, COUNTS, SECONDS, Histogram, StepTimes


def test_a_value_counts_under_the_smallest_bound_that_is_not_below_it() -> None:
    histogram = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 10.1):
        histogram.observe(value)
    state = histogram.state()
    assert (state.bounds, state.counts, state.sum) == ([1.0, 10.0], [2, 2, 1], pytest.approx(23.1))


@given(st.lists(st.floats(0, 1e6)))
def test_every_observation_is_counted_once(values: list[float]) -> None:
    histogram = Histogram(COUNTS)
    for value in values:
        histogram.observe(value)
    state = histogram.state()
    assert sum(state.counts) == len(values)
    assert state.sum == pytest.approx(sum(values))
    for n, bound in enumerate(state.bounds):
        assert sum(state.counts[: n + 1]) == sum(value <= bound for value in values)


def test_a_state_does_not_change_with_what_is_observed_later() -> None:
    histogram = Histogram()
    state = histogram.state()
    histogram.observe(1)
    assert sum(state.counts) == 0


@pytest.mark.parametrize("bounds", [SECONDS, COUNTS, BYTES])
def test_bounds_rise_and_are_few(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= 16


def test_steps_add_up_to_the_whole_time() -> None:
    now = [0.0]
    steps = StepTimes(lambda: now[0])
    for step, passes in (("dedup", 1.0), ("users", 2.0), ("dedup", 4.0)):
        now[0] += passes
        steps.passed(step)
    now[0] += 100.0  # of nobody
    steps.begin()
    now[0] += 8.0
    steps.passed("users")
    steps.add("encode", 0.5)
    assert steps.seconds == {"dedup": 5.0, "users": 10.0, "encode": 0.5}


def test_every_replica_gets_the_newest_report_of_all() -> None:
    reports = ReplicaReports(lambda: 0.0)
    reports.exchange({"replica": "a", "n": 1})
    reports.exchange({"replica": "b", "n": 1})
    assert reports.exchange({"replica": "a", "n": 2}) == [{"replica": "b", "n": 1}, {"replica": "a", "n": 2}]


def test_a_replica_that_is_gone_is_forgotten() -> None:
    now = [0.0]
    reports = ReplicaReports(lambda: now[0])
    reports.exchange({"replica": "a"})
    now[0] = FORGET_AFTER_S
    assert len(reports.exchange({"replica": "b"})) == 2
    now[0] += 0.1
    assert reports.exchange({"replica": "b"}) == [{"replica": "b"}]


def test_reports_are_bounded_whoever_sends_them() -> None:
    reports = ReplicaReports(lambda: 0.0)
    for n in range(MAX_REPLICAS + 5):
        kept = reports.exchange({"replica": str(n)})
    assert len(kept) == MAX_REPLICAS
    assert kept[-1] == {"replica": str(MAX_REPLICAS + 4)}
