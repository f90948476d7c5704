"""Flush for callers: those who ask while one waits share it, and flushes are :data:`EVERY_S` apart.

A flush closes a journal segment and writes files for every tenant of the shard, so its frequency must not depend on how
often one of them asks. Guarantees: what was acknowledged before the call is in the warehouse when it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

EVERY_S = 2.0


class Flushing:
    """Share calls of ``flush`` between those who ask. Use from one event loop."""

    def __init__(self, flush: Callable[[], Awaitable[None]], every_s: float = EVERY_S) -> None:
        self._flush = flush
        self._every_s = every_s
        self._next: asyncio.Task[None] | None = None
        self._began_at = float("-inf")

    async def done(self) -> None:
        """Wait for a flush that begins after this call; raise what it raises.

        If one caller is cancelled, it goes on for the others.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._later())
            self._next.add_done_callback(_looked_at)
        await asyncio.shield(self._next)

    async def _later(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._began_at + self._every_s - loop.time()))
        self._began_at = loop.time()
        self._next = None  # whoever comes from now on needs the next one
        await self._flush()


def _looked_at(task: asyncio.Task[None]) -> None:
    """Retrieve the task's error, which perhaps nobody awaits any more."""
    if not task.cancelled():
        task.exception()
