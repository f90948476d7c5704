"""List users for callers in slices of the shard's loop, so that nobody else waits longer than one slice.

Guarantees: one list is made at a time, tenants in turn (:mod:`actors.fair_queue`); between two slices whoever else is
ready goes first, and while others are busy the list takes at most half of the time; what a tenant may have waiting is
bounded, and so is the time one list may take. A list is refused as routed by an old map if one of its partitions was
not at home here all the while: it may have seen some of its users, or none. Remembered traits of all tenants together
are bounded; those of the tenant that listed longest ago go first.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from actors.calls.plain import plain
from actors.calls.shard_status import ListingState
from actors.calls.shards import CallStatus
from actors.fair_queue import RETRY_AFTER_S, FairQueue
from whisperer.errors import OverloadError
from whisperer.ids import Partition, TenantId
from whisperer.shard.listing import Slices, listed
from whisperer.shard.machine import Shard
from whisperer.shard.views.listing import ListedUsers, ListingCall

MOST_OPEN = 64
"""Lists that are made or wait, of all tenants."""
TENANT_OPEN = 8
"""The same of one tenant."""
PATIENCE_S = 4.0
"""How long a list waits for its turn."""
TIME_LIMIT_S = 15.0
"""Of one list, from its turn on. What it read by then is remembered, so the same list asked for again goes on there."""
MOST_COLUMN_BYTES = 256 << 20
"""Memory of remembered traits, of all tenants."""
IDLE_S = 0.0005
"""Others that take less between two slices are not busy."""

Answer = tuple[str, object]


class Listings:
    """List the users of one shard. Use from its event loop; ``is_elsewhere`` says if a partition is not at home."""

    def __init__(self, shard: Shard, is_elsewhere: Callable[[TenantId, Partition], bool]) -> None:
        self._shard = shard
        self._is_elsewhere = is_elsewhere
        self._queue = FairQueue(1, 1, MOST_OPEN, TENANT_OPEN, what="lists of users", code="too_many_lists")
        self._latest: OrderedDict[TenantId, None] = OrderedDict()
        """Tenants whose traits are remembered, in the order of their last list."""
        self._state = ListingState()

    def state(self) -> ListingState:
        """Return a copy of the counts since the start."""
        held = sum(self._columns(tenant) for tenant in self._latest)
        return msgspec.structs.replace(self._state, column_bytes=held)

    async def answer(self, call: ListingCall) -> Answer:
        """Return OK with ListedUsers, or why not: OVERLOADED with the seconds to wait, or STALE_MAP."""
        tenant = call.query.tenant
        try:
            turn = self._queue.join(tenant)
        except OverloadError as error:
            self._state.refused += 1
            return CallStatus.OVERLOADED, error.retry_after_s
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn.granted()
            return await self._listed(call)
        except TimeoutError:
            self._state.refused += 1
            return CallStatus.OVERLOADED, RETRY_AFTER_S
        finally:
            turn.leave()

    async def _listed(self, call: ListingCall) -> Answer:
        """Return the answer, in the tenant's turn. Raises TimeoutError if it takes too long."""
        before, held = self._residence(call), self._shard.tenants.get(call.query.tenant)
        if before is None:
            return CallStatus.STALE_MAP, None
        if held is None:  # nobody of this tenant was ever seen here
            found = ListedUsers(unknown=call.query.segments)
        else:
            found = await self._sliced(listed(held, call.query, call.partitions))
            self._keep_bound(call.query.tenant)
        if self._residence(call) != before:
            return CallStatus.STALE_MAP, None
        self._state.lists += 1
        return CallStatus.OK, plain(found)

    def _residence(self, call: ListingCall) -> list[int | None] | None:
        """Return the last move of each partition, None if one of them is not at home."""
        tenant = call.query.tenant
        if any(self._is_elsewhere(tenant, partition) for partition in call.partitions):
            return None
        return [self._shard.moved.get((tenant, partition)) for partition in call.partitions]

    async def _sliced(self, slices: Slices) -> ListedUsers:
        """Run slices to their end. Raises TimeoutError if that takes too long."""
        deadline = time.monotonic() + TIME_LIMIT_S
        while time.monotonic() < deadline:
            began, cpu_began = time.perf_counter(), time.thread_time()
            try:
                next(slices)
            except StopIteration as end:
                found: ListedUsers = end.value
                return found
            finally:
                took = time.perf_counter() - began
                self._count(took, time.thread_time() - cpu_began)
            resting = time.perf_counter()
            await asyncio.sleep(0)
            if time.perf_counter() - resting > IDLE_S:
                await asyncio.sleep(took)
        raise TimeoutError

    def _count(self, took_s: float, cpu_s: float) -> None:
        state = self._state
        state.slices += 1
        state.seconds += took_s
        state.longest_slice_s = max(state.longest_slice_s, took_s)
        state.longest_slice_cpu_s = max(state.longest_slice_cpu_s, cpu_s)

    def _columns(self, tenant: TenantId) -> int:
        held = self._shard.tenants.get(tenant)
        return 0 if held is None else held.people.trait_columns.nbytes

    def _keep_bound(self, tenant: TenantId) -> None:
        """Let the traits go of those who listed longest ago, until the rest fits."""
        self._latest[tenant] = None
        self._latest.move_to_end(tenant)
        while len(self._latest) > 1 and sum(map(self._columns, self._latest)) > MOST_COLUMN_BYTES:
            oldest, _ = self._latest.popitem(last=False)
            if oldest in self._shard.tenants:
                self._shard.tenants[oldest].people.trait_columns.clear()
