"""Measures the average number of calls under way, by which Serve scales, for calls that Serve does not see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Load:
    """The calls of one replica. Use from one thread. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n, self._sum = 0, 0.0
        self._asked_at = self._changed_at = clock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a call as under way inside the block."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def mean(self) -> float:
        """Return the calls under way, averaged over the time since the last call of this method."""
        self._change(0)
        took, self._asked_at = self._changed_at - self._asked_at, self._changed_at
        total, self._sum = self._sum, 0.0
        return total / took if took > 0 else float(self._n)

    def _change(self, by: int) -> None:
        now = self._clock()
        self._sum += self._n * (now - self._changed_at)
        self._n, self._changed_at = self._n + by, now
