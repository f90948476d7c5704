"""Turns SIGINT and SIGTERM into a request to stop that the launcher can act on at a safe point.

During a start, the first request raises in the main thread, so that the start is abandoned and cleaned up; while the
launcher waits in the foreground, it ends the wait. Afterwards the signals have their previous meaning, so a second
Ctrl-C interrupts the stopping itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_LOOK_S = 1.0


class StopRequested(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived."""


class Stop:
    """Receives the signals: raises during a start, ends :meth:`wait` afterwards."""

    def __init__(self) -> None:
        self.waiting = False
        self._requested = threading.Event()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self.waiting:
            raise StopRequested
        self._requested.set()

    def wait(self, running: Callable[[], bool]) -> bool:
        """Wait for a request. Returns True if the cluster ended before one came."""
        self.waiting = True
        while not self._requested.wait(_LOOK_S):
            if not running():
                return True
        return False


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """Handle SIGINT and SIGTERM as requests to stop, and restore the previous handlers at the end."""
    stop = Stop()
    before = {number: signal.signal(number, stop.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
