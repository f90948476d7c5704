"""A move is driven again when an answer was late: two calls at once must come to what one does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.local_shards import LocalShards, write_installation
from tests.unit.shard.world import SEED, TENANT, add, event
from whisperer.events.block import BlockBuilder, encode_block
from whisperer.ids import partition_of


@pytest.fixture
def place() -> int:
    return partition_of("u:ann", SEED)


async def test_a_release_driven_again_while_the_first_waits_loses_nothing(tmp_path: Path, place: int) -> None:
    """The first waits for a receipt; the directory's call runs out of time and is made again."""
    shards = LocalShards(write_installation(tmp_path))
    source = shards.table(TENANT)[place]
    builder = BlockBuilder(TENANT)
    add(builder, event("ann"))
    await shards.call(source, "ingest", 1, [encode_block(builder.build())])
    receipt = asyncio.Event()

    async def wait_for_receipt(tenant: str, partition: int) -> None:
        await receipt.wait()

    shards.actors[source]._engaging.deliverer.stop = wait_for_receipt  # type: ignore[method-assign]
    releases = [asyncio.ensure_future(shards.call(source, "release", TENANT, place, 2)) for _ in range(2)]
    await asyncio.sleep(0)
    receipt.set()
    await asyncio.gather(*releases)
    adopts = [shards.call(1 - source, "adopt", TENANT, place, 2, source) for _ in range(2)]
    await asyncio.gather(*adopts)
    _, view = await shards.call(1 - source, "user", 2, TENANT, "u:ann", None)
    assert view is not None
    assert view.event_counts == {"Clicked": 1}
    await shards.close()


async def test_a_shard_whose_ticks_fail_goes_on_ticking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines, schedules and rewards hang on them: a clock that stops in silence would stop the loop."""
    monkeypatch.setattr("actors.shard_actor.TICK_S", 0.0)
    shards = LocalShards(write_installation(tmp_path, shards=1), n_shards=1)
    asked = 0
    again = asyncio.Event()

    def wants_tick(now: int) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("a schedule that cannot be read")
        again.set()
        return False

    shards.actors[0]._shard.wants_tick = wants_tick  # type: ignore[method-assign]
    await asyncio.wait_for(again.wait(), 10)
    await shards.close()
