"""When a further call may go beside those under way.

A call costs the same whatever it carries, so one that waits a moment for company is cheaper for all; and none waits
long for one that is slow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

PATIENCE_S = 0.01


class Company:
    """Says go at once for a full batch; beside a call under way PATIENCE_S after the last go, and never sooner than
    ``apart_s`` after it. ``again`` is called when it is worth asking once more. Use from one event loop.
    """

    def __init__(self, again: Callable[[], None], apart_s: float = 0.0) -> None:
        self._again = again
        self._apart_s = apart_s
        self._went_at = -math.inf
        self._alarm: asyncio.TimerHandle | None = None

    def may_go(self, n_under_way: int, is_full: bool) -> bool:
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
