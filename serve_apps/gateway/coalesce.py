"""Gathers concurrent requests into one call a shard.

Requests append their events to a shard's open builders; while up to `MAX_CALLS` calls to that shard are under way the
builders fill, then go out together as one block a tenant. Every request waits for the blocks its events are in.

Guarantees: a request is told yes only when every shard concerned has its events on disk. A call whose outcome is
unknown (the actor died) is made again with the same blocks: the shard drops what it has already counted. A partition
that moved is found again by the new map.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.routing import OK, OVERLOADED, Shards
from whisperer.errors import OverloadError
from whisperer.events.block import MAX_BLOCK_EVENTS, BlockBuilder, EventBlock, encode_block, split

MAX_CALLS = 1
CALL_TIMEOUT_S = 15.0
GIVE_UP_AFTER_S = 20.0
"""Clients wait this long for a shard to recover before they are told to come back (503)."""


class TenantBuilders(dict[int, BlockBuilder]):
    """Shard -> open builder of one tenant; a missing one is opened."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.tenant = tenant

    def __missing__(self, shard: int) -> BlockBuilder:
        builder = self[shard] = BlockBuilder(self.tenant)
        return builder


@dataclass(slots=True)
class _Lane:
    """What waits for one shard."""

    builders: dict[str, BlockBuilder] = field(default_factory=dict)
    durable: asyncio.Future[None] | None = None
    n_events: int = 0
    n_calls: int = 0


class Coalescer:
    """Use from one event loop. ``on_block`` sees every block that goes out."""

    def __init__(
        self,
        shards: Shards,
        *,
        max_queued_events: int,
        max_call_events: int,
        on_block: Callable[[EventBlock], None] = lambda _: None,
    ) -> None:
        self._shards = shards
        self._max_queued = max_queued_events
        self._max_call = min(max_call_events, MAX_BLOCK_EVENTS)
        self._on_block = on_block
        self._open: dict[str, TenantBuilders] = {}
        self._lanes: dict[int, _Lane] = {}
        self.n_queued = 0
        self.n_calls = 0
        self.n_events = 0
        self.call_ms: deque[float] = deque(maxlen=256)

    def has_room(self, n_events: int) -> bool:
        return self.n_queued + n_events <= self._max_queued or self.n_queued == 0

    def builders(self, tenant: str) -> TenantBuilders:
        """Where a request's events go; must be followed by :meth:`commit` without an await between."""
        found = self._open.get(tenant)
        if found is None:
            found = self._open[tenant] = TenantBuilders(tenant)
        return found

    async def commit(self, tenant: str, n_events: int) -> None:
        """Wait until everything in the tenant's open builders is durable.

        Raises UnavailableError (a shard does not come back in time) or OverloadError (a shard's queue is full).
        """
        waiting = []
        loop = asyncio.get_running_loop()
        for shard, builder in self._open[tenant].items():
            if not builder.keys:
                continue
            lane = self._lanes.setdefault(shard, _Lane())
            if lane.durable is None:
                lane.durable = loop.create_future()
            lane.builders[tenant] = builder
            waiting.append(lane.durable)
            if len(builder.keys) >= self._max_call:
                self._flush(shard, lane)
            elif lane.n_calls < MAX_CALLS:
                # After this round of the loop: requests that are ready now go along.
                loop.call_soon(self._flush_if_idle, shard, lane)
        self.n_queued += n_events
        try:
            if len(waiting) == 1:
                await asyncio.shield(waiting[0])
            else:
                await asyncio.gather(*(asyncio.shield(future) for future in waiting))
        finally:
            self.n_queued -= n_events

    def _flush_if_idle(self, shard: int, lane: _Lane) -> None:
        if lane.durable is not None and lane.n_calls < MAX_CALLS:
            self._flush(shard, lane)

    def _flush(self, shard: int, lane: _Lane) -> None:
        builders, durable = lane.builders, lane.durable
        assert durable is not None
        lane.builders, lane.durable = {}, None
        for tenant in builders:
            del self._open[tenant][shard]
        lane.n_calls += 1
        task = asyncio.ensure_future(self._call(shard, [builder.build() for builder in builders.values()]))
        task.add_done_callback(lambda done: self._finished(shard, lane, durable, done))

    def _finished(self, shard: int, lane: _Lane, durable: asyncio.Future[None], done: asyncio.Task[None]) -> None:
        lane.n_calls -= 1
        error = done.exception()
        if error is None:
            durable.set_result(None)
        else:
            durable.set_exception(error)
            durable.exception()  # a request that was cancelled does not look at it
        self._flush_if_idle(shard, lane)

    async def _call(self, shard: int, blocks: list[EventBlock]) -> None:
        self.n_calls += 1
        self.n_events += sum(map(len, blocks))
        for block in blocks:
            self._on_block(block)
        began = time.perf_counter()
        pending = {shard: blocks}
        encoded = {shard: [encode_block(block) for block in blocks]}

        async def attempt() -> bool:
            for target in list(pending):
                arguments = encoded.setdefault(target, [encode_block(block) for block in pending[target]])
                version = self._shards.map.version
                status, detail = await self._shards.call(target, "ingest", version, arguments, timeout_s=CALL_TIMEOUT_S)
                if status == OVERLOADED:
                    raise OverloadError("a shard's queue is full", retry_after_s=detail)
                if status != OK:
                    await self._shards.refresh()
                    self._reroute(pending, encoded)
                    return False
                del pending[target]
            return True

        await self._shards.until(attempt, GIVE_UP_AFTER_S, is_done=bool)
        self.call_ms.append((time.perf_counter() - began) * 1000)

    def _reroute(self, pending: dict[int, list[EventBlock]], encoded: dict[int, list[bytes]]) -> None:
        blocks = [block for waiting in pending.values() for block in waiting]
        pending.clear()
        encoded.clear()
        for block in blocks:
            for target, part in split(block, self._shards.table(block.tenant)).items():
                pending.setdefault(target, []).append(part)
