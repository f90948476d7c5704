"""Erased means erased: real actors in one process, partitions that move, and every byte that is on the disk after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.partition_map import PartitionMap
from actors.routing import OK
from actors.warehouse import Warehouse
from tests.integration.local_shards import LocalShards, write_installation
from tests.integration.test_shard_actor import send
from tests.unit.shard.world import SEED, T0, TENANT, event
from whisperer.ids import partition_of
from whisperer.shard import inspection

PLACE = partition_of("u:ann", SEED)


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[LocalShards]:
    made = LocalShards(write_installation(tmp_path))
    yield made
    for actor in made.actors.values():
        inspection.check(actor._shard)
    await made.close()


async def move(shards: LocalShards) -> None:
    """Ann's partition goes to the other shard."""
    source = shards.table(TENANT)[PLACE]
    version = shards.map.version + 1
    status, _ = await shards.call(source, "hand_over", TENANT, PLACE, version, 1 - source)
    assert status == OK
    moves = {**shards.map.moves, f"{TENANT}/{PLACE}": 1 - source}
    shards.latest = PartitionMap(version, shards.map.base_shards, shards.map.n_shards, moves)
    await shards.refresh()


async def erase(shards: LocalShards, key: str = "u:ann") -> None:
    status, _ = await shards.call(shards.table(TENANT)[PLACE], "erase", shards.map.version, TENANT, key)
    assert status == OK


async def erased(shards: LocalShards) -> None:
    """Until nothing of the erased waits."""
    for _ in range(3_000):
        waiting = [actor._housekeeping.n_erasures_waiting for actor in shards.actors.values()]
        if not any(waiting) and not any(actor._shard.outbox() for actor in shards.actors.values()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("an erasure still waits")


async def flush(shards: LocalShards) -> None:
    for shard in shards.actors:
        await shards.call(shard, "flush")


def stored(folder: Path, user: str = "u:ann") -> list[str]:
    relation = Warehouse(folder / "warehouse").duckdb_relation(TENANT)
    return sorted(row[0] for row in relation.filter(f"user_key = '{user}'").project("message_id").fetchall())


async def test_events_journaled_at_a_former_home_do_not_come_back_after_an_erasure(
    shards: LocalShards, tmp_path: Path
) -> None:
    await send(shards, *(event("ann", id=f"old-{n}", at=T0 + n) for n in range(5)), event("bob", id="bobs"))
    await move(shards)
    await erase(shards)
    await erased(shards)
    await flush(shards)
    assert stored(tmp_path) == []
    assert stored(tmp_path, "u:bob") == ["bobs"]
