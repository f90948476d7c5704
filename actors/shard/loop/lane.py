"""The messages of one tenant and channel that wait to be sent, in line or for their turn.

A message that finds no free connection to its provider goes back to the head of the line, which rests. One whose turn
is later waits beside the line: because of its recipient, it holds up no other; by an account's rate or a breaker, the
line rests until its turn, as all would hear the same.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable

from actors.shard.loop.call_pacing import CallPacing
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.ids import DecisionId, TenantId

MAX_BATCH = 64
LEAST_UNDER_WAY = 8
MAX_UNDER_WAY = 256
"""Messages per lane: half as many as before when some are turned away, and `MORE_UNDER_WAY` more for each batch that
is taken. So a provider that takes none has few that wait for it, and few are made in vain for one that is slow."""
MORE_UNDER_WAY = 2
TURNED_AWAY_PAUSE_S = 0.25
"""Short, because the provider's adapter has already waited for a connection. What is turned away meanwhile was under
way before the line was made shorter, and does not count again."""
LONGEST_HOLD_S, LONGEST_REST_S = 3_600.0, 60.0
"""A message, and a line, ask again by then at the latest: the channel may have been changed."""
MAX_BESIDE = 2_000
"""Messages that wait for their recipients' turns before the line rests, too."""
TOGETHER_S = 0.02
"""Messages whose turns are this close together go together."""


class Unsent:
    """What of a batch was not begun: turned away for want of a connection, or held until its turn."""

    def __init__(self) -> None:
        self.turned_away: list[DecisionId] = []
        self.turns: dict[DecisionId, float] = {}
        """Seconds."""
        self.rest_s = 0.0
        """How long the channel's others would hear the same."""

    def add(self, decision: DecisionId, receipt: Receipt) -> None:
        """Add a message by its receipt, `waiting` or `later`."""
        if receipt.retry_after_s is None:
            self.turned_away.append(decision)
            return
        self.turns[decision] = receipt.retry_after_s
        if receipt.status == Verdict.WAITING:
            self.rest_s = max(self.rest_s, receipt.retry_after_s)


class Lane:
    """A line. ``start`` is called when something of it may go. Use from one event loop."""

    def __init__(self, tenant: TenantId, start: Callable[[Lane], None]) -> None:
        self.tenant = tenant
        self.pacing = CallPacing(lambda: start(self))
        self.n_batches = 0
        self.n_under_way = 0
        self._start = start
        self._most = MAX_UNDER_WAY
        self._shortened_at = -math.inf
        self._due: deque[DecisionId] = deque()
        """Those whose turn it is: they go before the line, and whether it rests or not."""
        self._waiting: deque[DecisionId] = deque()
        self._later: list[tuple[float, DecisionId]] = []
        """A heap: when whose turn it is, on the event loop's clock."""
        self._alarm: asyncio.TimerHandle | None = None
        self._rests_until = 0.0

    @property
    def room(self) -> int:
        """How many more may be under way."""
        return self._most - self.n_under_way

    @property
    def n_ready(self) -> int:
        """How many may go now; ``start`` is called when there are more because a rest is over."""
        return len(self._due) + (0 if self._rests else len(self._waiting))

    @property
    def _rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rests_until

    def add(self, decision: DecisionId) -> None:
        """Put a message last in line."""
        self._waiting.append(decision)

    def take(self) -> list[DecisionId]:
        """Take a batch of those that may go."""
        n = min(MAX_BATCH, self.room, self.n_ready)
        return [(self._due or self._waiting).popleft() for _ in range(n)]

    def take_back(self, unsent: Unsent) -> list[DecisionId]:
        """Take back what was not begun, and return it."""
        self._waiting.extendleft(reversed(unsent.turned_away))
        now = asyncio.get_running_loop().time()
        for decision, wait_s in unsent.turns.items():
            heapq.heappush(self._later, (now + min(wait_s, LONGEST_HOLD_S), decision))
        self._set_alarm()
        rest_s = min(unsent.rest_s, LONGEST_REST_S)
        if unsent.turned_away or len(self._later) > MAX_BESIDE:
            rest_s = max(rest_s, TURNED_AWAY_PAUSE_S)
        if now + rest_s > self._rests_until:
            self._rests_until = now + rest_s
            asyncio.get_running_loop().call_at(self._rests_until, self._start, self)
        return [*unsent.turned_away, *unsent.turns]

    def ended(self, *, is_taken: bool) -> None:
        """Say that a batch ended, and whether nothing of it was turned away."""
        if is_taken:
            self._most = min(self._most + MORE_UNDER_WAY, MAX_UNDER_WAY)
            return
        now = asyncio.get_running_loop().time()
        if now - self._shortened_at > TURNED_AWAY_PAUSE_S:
            self._shortened_at = now
            self._most = max(self._most // 2, LEAST_UNDER_WAY)

    def clear(self) -> list[DecisionId]:
        """Remove and return all."""
        removed = [*self._due, *self._waiting, *(decision for _, decision in self._later)]
        self._due.clear()
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
        """Let those go whose turn it is."""
        until = asyncio.get_running_loop().time() + TOGETHER_S
        while self._later and self._later[0][0] <= until:
            self._due.append(heapq.heappop(self._later)[1])
        self._set_alarm()
        self._start(self)
