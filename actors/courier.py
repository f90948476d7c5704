"""Carries messages between partitions: at least once, in order for each pair of partitions, confirmed when durable.

Messages come from the shard's outbox and stay there until the target has them on disk; the target applies each once.
One line of work a target shard, so that a dead shard holds up nobody but those who write to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from actors.routing import OK, Shards
from whisperer.errors import UnavailableError
from whisperer.shard.records import Message

_log = logging.getLogger(__name__)

MAX_BATCH = 500
RETRY_S = 0.2

Confirm = Callable[[list[tuple[str, int, int]]], Awaitable[None]]
Local = Callable[[list[Message]], Awaitable[str]]


class Courier:
    """``deliver_here`` journals messages whose target lives on this shard; ``confirm`` journals what arrived."""

    def __init__(self, shard: int, shards: Shards, deliver_here: Local, confirm: Confirm) -> None:
        self._shard = shard
        self._shards = shards
        self._deliver_here = deliver_here
        self._confirm = confirm
        self._lines: dict[int, deque[Message]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def n_waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def send(self, message: Message) -> None:
        target = self._shards.table(message.tenant)[message.target]
        self._lines.setdefault(target, deque()).append(message)
        task = self._tasks.get(target)
        if task is None or task.done():
            self._tasks[target] = asyncio.ensure_future(self._work(target))

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _work(self, target: int) -> None:
        line = self._lines[target]
        while line:
            batch = [line[i] for i in range(min(MAX_BATCH, len(line)))]
            try:
                if target == self._shard:
                    status = await self._deliver_here(batch)
                else:
                    status = await self._shards.call(target, "deliver", self._shards.map.version, batch)
            except UnavailableError:
                status = "unavailable"
            except Exception:
                _log.exception("messages to shard %d could not be delivered; trying again", target)
                status = "failed"
            if status == OK:
                for _ in batch:
                    line.popleft()
                await self._confirm([(m.tenant, m.source, m.sequence) for m in batch])
                continue
            await asyncio.sleep(RETRY_S)
            await self._reroute(target)

    async def _reroute(self, target: int) -> None:
        """The map may have changed: messages whose target moved join the line of its new home, in order."""
        try:
            await self._shards.refresh()
        except UnavailableError:
            return
        waiting, self._lines[target] = list(self._lines[target]), self._lines[target]
        self._lines[target].clear()
        for message in waiting:
            if self._shards.table(message.tenant)[message.target] == target:
                self._lines[target].append(message)
            else:
                self.send(message)
