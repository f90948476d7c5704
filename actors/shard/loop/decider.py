"""Bring candidates to the decisions application and its choices into the journal.

Candidates that wait together go together. While the application is away they wait here for as long as their decision is
open; the shard's own deadline ends that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from actors.calls.applications import Application
from actors.calls.retry import Pauses
from actors.shard.loop.call_pacing import CallPacing
from whisperer.decisions.decision import Candidate, Choice
from whisperer.errors import OverloadError, UnavailableError
from whisperer.ids import TenantId
from whisperer.journeys.engagement import DecisionStatus
from whisperer.shard.machine import Shard
from whisperer.shard.records import DecisionsMade, RecordBody

MAX_BATCH = 256
MAX_CALLS = 4
APART_S = 0.03
"""Least time between two calls through Serve that are not full: one costs both sides 3 ms of CPU, and 300 single
questions a second would be 300 calls. Whoever asks after a pause does not wait; over a socket nobody does.
"""
PAUSES = Pauses(first_s=0.05, longest_s=1.0)

Submit = Callable[[RecordBody], Coroutine[Any, Any, None]]
"""Journal a record; returns when it is durable and applied. Raises OverloadError."""

_log = logging.getLogger(__name__)


class Decider:
    """Ask the decisions application about candidates. Use from one event loop."""

    def __init__(self, shard: Shard, application: Application[Candidate, Choice], submit: Submit) -> None:
        self._shard = shard
        self._application = application
        self._submit = submit
        self._waiting: deque[Candidate] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._closing = False
        self._pacing = CallPacing(self._start, APART_S)

    @property
    def n_waiting(self) -> int:
        """Candidates that no call carries yet."""
        return len(self._waiting)

    def add(self, candidate: Candidate) -> None:
        """Have a choice made for a candidate, and journaled."""
        self._waiting.append(candidate)
        if len(self._calls) < MAX_CALLS:
            # After this round of the loop: users who became candidates together are asked about together.
            asyncio.get_running_loop().call_soon(self._start)

    async def close(self) -> None:
        """Ask nothing more; what waits is asked at the next start."""
        self._closing = True
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._calls) < MAX_CALLS and not self._closing:
            is_cheap = self._application.is_direct
            if not is_cheap and not self._pacing.may_go(len(self._calls), len(self._waiting) >= MAX_BATCH):
                return
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            call = asyncio.ensure_future(self._decide(batch))
            self._calls.add(call)
            call.add_done_callback(self._finished)

    def _finished(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._start()

    async def _decide(self, batch: list[Candidate]) -> None:
        for pause_s in PAUSES.each():
            batch = [candidate for candidate in batch if self._is_open(candidate)]
            if not batch:
                return
            try:
                choices = await self._application.call(batch)
                await asyncio.gather(*(self._submit(record) for record in _records(batch, choices)))
                return
            except (UnavailableError, OverloadError):
                pass
            except Exception:
                _log.exception("%d candidates could not be decided; trying again", len(batch))
            await asyncio.sleep(pause_s)

    def _is_open(self, candidate: Candidate) -> bool:
        found = self._shard.tenant(candidate.tenant).loop.find(candidate.decision_id)
        return found is not None and found[1].status == DecisionStatus.DECIDING


def _records(batch: list[Candidate], choices: list[Choice]) -> list[DecisionsMade]:
    """Group the choices by tenant. What the application cannot decide it leaves out; the deadline ends that."""
    id_to_tenant = {candidate.decision_id: candidate.tenant for candidate in batch}
    made: dict[TenantId, list[Choice]] = {}
    for choice in choices:
        tenant = id_to_tenant.get(choice.decision_id)
        if tenant is None:
            _log.error("the decisions application answered about %s, which it was not asked", choice.decision_id)
        else:
            made.setdefault(tenant, []).append(choice)
    return [DecisionsMade(tenant, of_tenant) for tenant, of_tenant in made.items()]
