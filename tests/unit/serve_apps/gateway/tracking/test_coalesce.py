"""What shares a call and what waits for it; blocks that a shard refuses go again by the new map, others do not."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus
from serve_apps.gateway.tracking.coalesce import MAX_CALLS, WORTH_A_CALL, Coalescer
from tests.support.shard_world import add, event
from whisperer.errors import UnavailableError
from whisperer.events.decoding import decode_block
from whisperer.events.parts import BlockPart, PartBuilder


class Places(MapHolder):
    """All of one tenant's partitions moved to shard 1; the directory is ``away`` for a few calls."""

    def __init__(self, moved: str, away: int) -> None:
        super().__init__()
        self.current = PartitionMap(1, 1, 2)
        self._moved, self._away = moved, away

    async def refresh(self) -> PartitionMap:
        if self._away:
            self._away -= 1
            raise UnavailableError("the directory is starting")
        self.current = PartitionMap(2, 1, 2, {f"{self._moved}/{p}": 1 for p in range(64)})
        return self.current


class Shards:
    """Shard 0 refuses the blocks of one tenant, by name or the whole call, until the map is fetched."""

    def __init__(self, stray: str, *, by_name: bool, away: int = 0) -> None:
        self.places = Places(stray, away)
        self.stored: list[tuple[int, str]] = []
        self._stray, self._by_name = stray, by_name

    async def ingest(self, shard: int, blocks: list[bytes], *, timeout_s: float) -> tuple[str, Any]:
        tenants = [decode_block(block).tenant for block in blocks]
        strays = [n for n, tenant in enumerate(tenants) if shard == 0 and tenant == self._stray]
        if strays and not self._by_name:
            return CallStatus.STALE_MAP, None
        self.stored += [(shard, tenant) for n, tenant in enumerate(tenants) if n not in strays]
        return (CallStatus.STALE_MAP, strays) if strays else (CallStatus.OK, None)

    async def until(self, attempt: Any, timeout_s: float, is_done: Any) -> Any:
        while True:
            try:
                if is_done(await attempt()):
                    return
            except UnavailableError:
                continue


async def stored(shards: Shards) -> list[tuple[int, str]]:
    coalescer = Coalescer(shards, max_queued_events=100, max_call_events=100)  # type: ignore[arg-type]
    lane_parts = {}
    for tenant in ("tn_a", "tn_b", "tn_c"):
        builder = PartBuilder()
        add(builder, event("ann"))
        lane_parts[tenant] = builder.build()
    await asyncio.gather(*(coalescer.commit(tenant, {0: part}) for tenant, part in lane_parts.items()))
    return sorted(shards.stored)


async def test_one_tenants_stray_makes_no_others_block_wait_or_repeat() -> None:
    assert await stored(Shards("tn_a", by_name=True)) == [(0, "tn_b"), (0, "tn_c"), (1, "tn_a")]


async def test_names_of_refused_blocks_hold_for_the_call_they_came_with() -> None:
    """The map cannot be fetched at once: what is left goes again, and is named anew."""
    assert await stored(Shards("tn_c", by_name=True, away=2)) == [(0, "tn_a"), (0, "tn_b"), (1, "tn_c")]


async def test_a_shard_of_an_older_release_refuses_the_whole_call() -> None:
    assert await stored(Shards("tn_a", by_name=False)) == [(0, "tn_b"), (0, "tn_c"), (1, "tn_a")]


class Slow:
    """Shard 0, whose calls end when the test says so."""

    def __init__(self) -> None:
        self.places = MapHolder()
        self.calls: list[int] = []
        self.ends = asyncio.Event()

    async def ingest(self, shard: int, blocks: list[bytes], *, timeout_s: float) -> tuple[str, Any]:
        self.calls.append(sum(len(decode_block(block)) for block in blocks))
        await self.ends.wait()
        return CallStatus.OK, None

    async def until(self, attempt: Any, timeout_s: float, is_done: Any) -> Any:
        assert is_done(await attempt())


def part_of(n_events: int) -> BlockPart:
    builder = PartBuilder()
    for number in range(n_events):
        add(builder, event(f"user-{number}"))
    return builder.build()


async def commits(*sizes: int) -> list[int]:
    """Return the events of each call when requests of these sizes come one after the other while a call is slow."""
    slow = Slow()
    coalescer = Coalescer(slow, max_queued_events=10**6, max_call_events=10**5)  # type: ignore[arg-type]
    requests = []
    for size in sizes:
        requests.append(asyncio.ensure_future(coalescer.commit("tn_a", {0: part_of(size)})))
        for _ in range(5):
            await asyncio.sleep(0)
    slow.ends.set()
    await asyncio.gather(*requests)
    return slow.calls


async def test_a_single_event_goes_at_once_and_those_that_come_meanwhile_go_together_after_it() -> None:
    assert await commits(1, 1, 1, 1) == [1, 3]


async def test_what_is_worth_a_call_of_its_own_goes_beside_the_one_before() -> None:
    assert await commits(1, WORTH_A_CALL - 1, 2, 1) == [1, WORTH_A_CALL + 1, 1]
    assert MAX_CALLS == 2
    assert await commits(1, WORTH_A_CALL, WORTH_A_CALL, 1) == [1, WORTH_A_CALL, WORTH_A_CALL + 1]
