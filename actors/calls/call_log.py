"""Count the calls an actor is working on: how many, for whom, and how they were answered.

Every call to a shard comes through here (:meth:`actors.shard.actor.ShardActor.call`): whatever is logged meanwhile
carries the caller's request and trace ids, refusals are counted by reason, and a failure is logged where it happened.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from actors.calls.shard_status import CallsState
from actors.telemetry import tracing
from actors.telemetry.logs import Seldom
from whisperer.errors import WhispererError

REASONS = ("stale_map", "moving", "overloaded", "failed", "other")
"""Why a call was not done; "" means it was."""

_log = logging.getLogger("whisperer.shard")


class Calls:
    """Run an actor's calls and count them. Use from one event loop."""

    def __init__(self) -> None:
        self.n_under_way = 0
        self.answered: Counter[tuple[str, str]] = Counter()
        """By (method, reason); the reason is "" for a call that was done."""
        self._seldom = Seldom(_log)

    async def run(
        self, traces: list[tuple[str, str]], method: str, work: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> Any:
        """Return what ``work`` answers to ``args``; raise what it raises."""
        with tracing.within(tracing.Trace(*trace) for trace in traces):
            self.n_under_way += 1
            began = time.perf_counter()
            try:
                answer = await work(*args)
            except WhispererError as error:
                self.answered[method, "failed"] += 1
                self._seldom.log(logging.WARNING, method, "%s was not done: %s", method, error)
                raise
            except Exception:
                self.answered[method, "failed"] += 1
                _log.exception("%s failed", method)
                raise
            finally:
                self.n_under_way -= 1
            reason = _reason(answer)
            self.answered[method, reason] += 1
            if reason:
                self._seldom.log(logging.INFO, method + reason, "%s was refused: %s", method, reason)
            elif _log.isEnabledFor(logging.DEBUG):
                _log.debug("%s done after %.1f ms", method, (time.perf_counter() - began) * 1000)
            return answer

    def state(self) -> CallsState:
        """Return the counts."""
        return CallsState(self.n_under_way, [(*key, n) for key, n in self.answered.items()])


def _reason(answer: Any) -> str:
    """Return the reason in a (status, value) or a bare status; other answers cannot be refusals."""
    status = answer[0] if isinstance(answer, tuple) and answer else answer
    if not isinstance(status, str) or not status:
        return ""
    return status if status in REASONS else "other"
