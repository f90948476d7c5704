"""Count what a process does: histograms with fixed bounds, and seconds by the step that took them.

Cheap enough to stay on: one observation is a bisection of a dozen bounds, made once per group, call or request, never
per event. A state is a copy that can travel in a status. Leaves to others: names and labels
(:mod:`serve_apps.gateway.metrics.exposition`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

import msgspec

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4)
BYTES = tuple(float(256 << 2 * i) for i in range(9))
"""256 B to 16 MiB, each four times the one before."""


class HistogramState(msgspec.Struct):
    """Hold the bounds, the number of observations by bound and above all of them, and the observations' sum."""

    bounds: list[float]
    counts: list[int]
    sum: float


class Histogram:
    """Count observations by the lowest bound that they do not exceed, and sum them.

    One thread observes; another may read meanwhile, and sees a sum that is ahead of the counts by at most one
    observation.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def state(self) -> HistogramState:
        """Return a copy of what was counted."""
        return HistogramState(list(self.bounds), list(self.counts), self.sum)


class StepTimes:
    """Add up seconds by step of a repeated sequence. Between two marks no time is lost or counted twice."""

    __slots__ = ("_clock", "_last", "seconds")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Set a mark; the time before it belongs to no step."""
        self._last = self._clock()

    def passed(self, step: str) -> None:
        """Add the time since the last mark to ``step``."""
        now = self._clock()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now

    def add(self, step: str, seconds: float) -> None:
        """Add the time of a step that ran elsewhere, such as in another thread; only that thread may name it."""
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds
