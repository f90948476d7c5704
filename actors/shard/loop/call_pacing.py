"""Decide when another call may start while others are under way.

A call costs the same whatever it carries, so it is cheaper for all if a question waits a moment to share one; and none
waits long for a slow call.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

PATIENCE_S = 0.01


class CallPacing:
    """Let a full batch go at once, and any other after a wait that may fill it. Use from one event loop.

    The wait, since the last batch went, is ``PATIENCE_S`` if a call is under way, and never less than ``apart_s``.
    ``again`` is called when it is worth asking once more.
    """

    def __init__(self, again: Callable[[], None], apart_s: float = 0.0) -> None:
        self._again = again
        self._apart_s = apart_s
        self._went_at = -math.inf
        self._alarm: asyncio.TimerHandle | None = None

    def may_go(self, n_under_way: int, is_full: bool) -> bool:
        """Report whether a batch may go now; if not, ``again`` is called when it may."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = self._went_at + max(PATIENCE_S if n_under_way else 0.0, self._apart_s)
        if not is_full and now < due:
            if self._alarm is None:
                self._alarm = loop.call_at(due, self._ring)
            return False
        self._went_at = now
        return True

    def _ring(self) -> None:
        self._alarm = None
        self._again()
