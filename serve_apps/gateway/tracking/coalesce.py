"""Combines concurrent requests into one call per shard.

Requests put their parts into a shard's lane. While a call to that shard is under way the lane fills; then it is sent
as blocks of one tenant each, so that the more requests there are, the more share a call, a group and an fdatasync, and
a single event goes at once. Every request waits for the blocks that contain its events.

Guarantees: a request succeeds only when every shard concerned has its events on disk. A call whose outcome is unknown
(the actor died) is repeated with the same blocks: the shard drops what it has already counted. A partition that moved
is found by the new map, and only the blocks that a shard refused because of it are sent again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from actors.calls.shards import CallStatus, ShardCalls
from actors.telemetry import tracing
from actors.telemetry.measures import COUNTS, Histogram
from whisperer.errors import OverloadError
from whisperer.events.block import MAX_BLOCK_EVENTS, EventBlock, encode_block
from whisperer.events.parts import BlockPart, merge, split
from whisperer.ids import TenantId

MAX_BLOCK_OF_CALL = 5_000
"""In events: a shard applies a block in one go (:mod:`actors.shard.weighing`)."""
MAX_CALLS = 2
"""At once to one shard."""
WORTH_A_CALL = 500
"""Events that are sent while another call is under way, because they are work enough for the next group; fewer wait for
its end."""
CALL_TIMEOUT_S = 15.0
GIVE_UP_AFTER_S = 20.0
"""How long clients wait for a shard to recover before they are told to come back (503)."""


@dataclass(slots=True)
class _Lane:
    """What is waiting for one shard."""

    parts: dict[TenantId, list[BlockPart]] = field(default_factory=dict)
    traces: list[tracing.Trace] = field(default_factory=list)
    """Traces of the requests in the call, as many as a call carries."""
    durable: asyncio.Future[None] | None = None
    n_events: int = 0
    n_calls: int = 0

    def may_call(self) -> bool:
        """Return whether what waits is to be sent now."""
        return self.n_calls < (MAX_CALLS if self.n_events >= WORTH_A_CALL else 1)


class Coalescer:
    """The lanes of one replica. Use from one event loop.

    ``on_block`` is called with every block sent; ``call_events`` counts the events that calls carry.
    """

    def __init__(
        self,
        shards: ShardCalls,
        *,
        max_queued_events: int,
        max_call_events: int,
        on_block: Callable[[EventBlock], None] = lambda _: None,
        call_events: Histogram | None = None,
    ) -> None:
        self._shards = shards
        self._max_queued = max_queued_events
        self._max_call = min(max_call_events, MAX_BLOCK_EVENTS)
        self._on_block = on_block
        self._call_events = call_events or Histogram(COUNTS)
        self._lanes: dict[int, _Lane] = {}
        self.n_queued = 0
        self.n_calls = 0
        self.n_events = 0
        self.call_ms: deque[float] = deque(maxlen=256)

    def has_room(self, n_events: int) -> bool:
        """Return whether this many events fit into the lanes; an empty replica takes any number."""
        return self.n_queued + n_events <= self._max_queued or self.n_queued == 0

    async def commit(self, tenant: TenantId, parts: Mapping[int, BlockPart]) -> None:
        """Wait until the parts, by shard, are durable.

        Raises UnavailableError (a shard does not recover in time) or OverloadError (a shard's queue is full).
        """
        loop = asyncio.get_running_loop()
        waiting = []
        n_events = 0
        for shard, part in parts.items():
            lane = self._lanes.setdefault(shard, _Lane())
            if lane.n_events + len(part) > self._max_call and lane.durable is not None:
                self._flush(shard, lane)
            if lane.durable is None:
                lane.durable = loop.create_future()
            lane.parts.setdefault(tenant, []).append(part)
            lane.n_events += len(part)
            if lane.may_call():
                # After this round of the loop, so that requests that are ready now are included.
                loop.call_soon(self._flush_if_idle, shard, lane)
            if len(lane.traces) < tracing.MAX_CARRIED:
                lane.traces.extend(tracing.current())
            n_events += len(part)
            waiting.append(lane.durable)
        self.n_queued += n_events
        try:
            for durable in waiting:
                await asyncio.shield(durable)
        finally:
            self.n_queued -= n_events

    def _flush_if_idle(self, shard: int, lane: _Lane) -> None:
        if lane.durable is not None and lane.may_call():
            self._flush(shard, lane)

    def _flush(self, shard: int, lane: _Lane) -> None:
        parts, durable = lane.parts, lane.durable
        assert durable is not None
        lane.parts, lane.durable, lane.n_events = {}, None, 0
        lane.n_calls += 1
        traces, lane.traces = lane.traces, []
        blocks = [merge(tenant, some) for tenant, waiting in parts.items() for some in _in_blocks(waiting)]
        with tracing.within(traces):  # the loop's callbacks inherit the trace of whoever created them
            task = asyncio.ensure_future(self._call(shard, blocks))
        task.add_done_callback(lambda done: self._finished(shard, lane, durable, done))

    def _finished(self, shard: int, lane: _Lane, durable: asyncio.Future[None], done: asyncio.Task[None]) -> None:
        lane.n_calls -= 1
        error = done.exception()
        if error is None:
            durable.set_result(None)
        else:
            durable.set_exception(error)
            durable.exception()  # a cancelled request does not look at it
        self._flush_if_idle(shard, lane)

    async def _call(self, shard: int, blocks: list[EventBlock]) -> None:
        self.n_calls += 1
        n_events = sum(map(len, blocks))
        self.n_events += n_events
        self._call_events.observe(n_events)
        for block in blocks:
            self._on_block(block)
        began = time.perf_counter()
        pending = {shard: blocks}
        packed: dict[int, list[bytes]] = {}

        async def attempt() -> bool:
            for target in list(pending):
                if target not in packed:
                    packed[target] = [encode_block(block) for block in pending[target]]
                status, detail = await self._shards.ingest(target, packed[target], timeout_s=CALL_TIMEOUT_S)
                if status == CallStatus.OVERLOADED:
                    raise OverloadError("a shard's queue is full", retry_after_s=detail)
                if status != CallStatus.OK:
                    if status == CallStatus.STALE_MAP and detail is not None:  # the others are stored
                        pending[target] = [pending[target][n] for n in detail]
                        del packed[target]
                    await self._shards.places.refresh()
                    self._reroute(pending, packed)
                    return False
                del pending[target]
            return True

        await self._shards.until(attempt, GIVE_UP_AFTER_S, is_done=bool)
        self.call_ms.append((time.perf_counter() - began) * 1000)

    def _reroute(self, pending: dict[int, list[EventBlock]], packed: dict[int, list[bytes]]) -> None:
        blocks = [block for waiting in pending.values() for block in waiting]
        pending.clear()
        packed.clear()
        for block in blocks:
            for target, part in split(block, self._shards.places.table(block.tenant)).items():
                pending.setdefault(target, []).append(part)


def _in_blocks(parts: list[BlockPart]) -> Iterator[list[BlockPart]]:
    """Split parts, in order, into groups that each make one block."""
    some: list[BlockPart] = []
    n_events = 0
    for part in parts:
        if some and n_events + len(part) > MAX_BLOCK_OF_CALL:
            yield some
            some, n_events = [], 0
        some.append(part)
        n_events += len(part)
    yield some
