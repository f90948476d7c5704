"""How many calls are under way on average: what Serve scales by, of calls that it does not see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Load:
    """Use from one thread. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._n, self._sum = 0, 0.0
        self._asked_at = self._changed_at = clock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A call is under way inside."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def mean(self) -> float:
        """Calls under way, averaged over the time since this was asked last."""
        self._change(0)
        took, self._asked_at = self._changed_at - self._asked_at, self._changed_at
        total, self._sum = self._sum, 0.0
        return total / took if took > 0 else float(self._n)

    def _change(self, by: int) -> None:
        now = self._clock()
        self._sum += self._n * (now - self._changed_at)
        self._n, self._changed_at = self._n + by, now
