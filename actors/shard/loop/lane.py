"""The messages of one tenant and channel that wait to be sent, in line or for their turn.

A message that finds no free connection to its provider goes back to the head of the line, which rests. One whose turn
is later, by a rate or a breaker, waits beside the line and holds up no other.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from actors.shard.loop.call_pacing import CallPacing
from whisperer.ids import DecisionId, TenantId

MAX_BATCH = 64
MAX_UNDER_WAY = 256
"""Messages per lane; `MAX_BATCH` while its provider has no connection free."""
TURNED_AWAY_PAUSE_S = 0.25
"""Short, because the provider's adapter has already waited for a connection."""
LONGEST_HOLD_S = 3_600.0
"""A message asks again by then at the latest: rates may have been changed."""
TOGETHER_S = 0.02
"""Messages whose turns are this close together go together."""


class Lane:
    """A line. ``start`` is called when something of it may go. Use from one event loop."""

    def __init__(self, tenant: TenantId, start: Callable[[Lane], None]) -> None:
        self.tenant = tenant
        self.pacing = CallPacing(lambda: start(self))
        self.n_batches = 0
        self.n_under_way = 0
        self._start = start
        self._waiting: deque[DecisionId] = deque()
        self._later: list[tuple[float, DecisionId]] = []
        """A heap: when whose turn it is, on the event loop's clock."""
        self._alarm: asyncio.TimerHandle | None = None
        self._is_busy = False
        """Its provider turned something away."""
        self._rests_until = 0.0

    @property
    def room(self) -> int:
        """How many more may be under way."""
        return (MAX_BATCH if self._is_busy else MAX_UNDER_WAY) - self.n_under_way

    @property
    def n_waiting(self) -> int:
        """How many are in line."""
        return len(self._waiting)

    @property
    def rests(self) -> bool:
        """Whether nothing goes now; ``start`` is called when that is over."""
        return asyncio.get_running_loop().time() < self._rests_until

    def add(self, decision: DecisionId) -> None:
        """Put a message last in line."""
        self._waiting.append(decision)

    def take(self) -> list[DecisionId]:
        """Take a batch from the head of the line."""
        return [self._waiting.popleft() for _ in range(min(MAX_BATCH, self.room, len(self._waiting)))]

    def turn_away(self, decisions: Iterable[DecisionId]) -> None:
        """Put these messages first in line, after a rest; the lane is busy until a whole batch is taken."""
        turned_away = list(decisions)
        self._is_busy = bool(turned_away)
        if turned_away:
            self._waiting.extendleft(reversed(turned_away))
            loop = asyncio.get_running_loop()
            self._rests_until = loop.time() + TURNED_AWAY_PAUSE_S
            loop.call_at(self._rests_until, self._start, self)

    def hold(self, turns: Mapping[DecisionId, float]) -> None:
        """Keep messages beside the line, each for so many seconds."""
        now = asyncio.get_running_loop().time()
        for decision, wait_s in turns.items():
            heapq.heappush(self._later, (now + min(wait_s, LONGEST_HOLD_S), decision))
        self._set_alarm()

    def clear(self) -> list[DecisionId]:
        """Remove and return all."""
        removed = [*self._waiting, *(decision for _, decision in self._later)]
        self._waiting.clear()
        self._later.clear()
        self._set_alarm()
        return removed

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._later:
            self._alarm = asyncio.get_running_loop().call_at(self._later[0][0], self._release)

    def _release(self) -> None:
        """Put those whose turn it is into line."""
        until = asyncio.get_running_loop().time() + TOGETHER_S
        while self._later and self._later[0][0] <= until:
            self._waiting.append(heapq.heappop(self._later)[1])
        self._set_alarm()
        self._start(self)
