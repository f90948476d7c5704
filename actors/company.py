"""When a further call may go beside those under way.

A call costs the same whatever it carries, so one that waits a moment for company is cheaper for all; and none waits
long for one that is slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE_S = 0.01


class Company:
    """Says go at once while nothing is under way, or for a full batch; else PATIENCE_S after the last go. ``again`` is
    called when it is worth asking once more. Use from one event loop.
    """

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again
        self._went_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def may_go(self, n_under_way: int, is_full: bool) -> bool:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if n_under_way and not is_full and now < self._went_at + PATIENCE_S:
            if self._alarm is None:
                self._alarm = loop.call_at(self._went_at + PATIENCE_S, self._ring)
            return False
        self._went_at = now
        return True

    def _ring(self) -> None:
        self._alarm = None
        self._again()
