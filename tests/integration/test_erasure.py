"""Erased means erased: real actors in one process, partitions that move, and every byte that is on the disk after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus
from actors.shard import housekeeping
from actors.shard.commit import wall_clock_ms
from actors.warehouse import Warehouse
from tests.integration.test_shard_actor import send, settle
from tests.support.local_shards import LocalShards, write_installation
from tests.support.shard_world import DAY, SEED, T0, TENANT, event
from whisperer.events.block import Payloads
from whisperer.events.decoding import decode_block
from whisperer.ids import partition_of
from whisperer.shard import inspection
from whisperer.shard.records import Events, decode_record

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
    source = shards.places.table(TENANT)[PLACE]
    version = shards.places.current.version + 1
    status, _ = await shards.call(source, "hand_over", TENANT, PLACE, version, 1 - source)
    assert status == CallStatus.OK
    moves = {**shards.places.current.moves, f"{TENANT}/{PLACE}": 1 - source}
    shards.places.latest = PartitionMap(
        version, shards.places.current.base_shards, shards.places.current.n_shards, moves
    )
    await shards.places.refresh()


async def erase(shards: LocalShards, key: str = "u:ann") -> None:
    status, _ = await shards.call(
        shards.places.table(TENANT)[PLACE], "erase", shards.places.current.version, TENANT, key
    )
    assert status == CallStatus.OK


async def erased(shards: LocalShards) -> None:
    """Until nothing of the erased waits."""
    for _ in range(3_000):
        waiting = [actor._housekeeping.n_erasures_waiting for actor in shards.actors.values()]
        if not any(waiting) and not any(actor._shard.letters() for actor in shards.actors.values()):
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


async def test_what_comes_late_is_not_exported_by_a_shard_that_holds_it_no_more(
    shards: LocalShards, tmp_path: Path
) -> None:
    await send(shards, event("ann", id="old"))
    await erase(shards)
    await erased(shards)
    await send(shards, event("ann", id="late", at=T0 + 1))
    await move(shards)
    await flush(shards)
    assert stored(tmp_path) == []


async def test_what_a_returning_user_does_before_the_rewrite_stays(shards: LocalShards, tmp_path: Path) -> None:
    await send(shards, event("ann", id="old"))
    await erase(shards)
    now = wall_clock_ms() + 1
    await send(shards, event("ann", id="new", at=now, received=now))
    await erased(shards)
    await flush(shards)
    assert stored(tmp_path) == ["new"]


async def test_an_erasure_waits_for_a_shard_that_is_away_and_is_over_when_it_is_back(
    shards: LocalShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "ERASE_AGAIN_S", 0.05)
    await send(shards, event("ann", id="old"))
    source = shards.places.table(TENANT)[PLACE]
    await move(shards)
    await shards.crash(source)
    await erase(shards)
    await asyncio.sleep(housekeeping.ERASE_TOGETHER_S + 0.3)
    keeping = shards.actors[1 - source]._housekeeping
    assert keeping.n_erasures_waiting == 1
    assert keeping.retention().erasure_age_s is not None
    shards.start(source)
    await erased(shards)
    await flush(shards)
    assert stored(tmp_path) == []


NEEDLE = "needle-7f3a"


def everything(shards: LocalShards, folder: Path) -> dict[str, bytes]:
    """All that is on the disk: each file as it is, and what is packed in it."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in [name for name in found if name.endswith(".parquet")]:
        found[f"rows of {name}"] = repr(pq.read_table(folder / name, partitioning=None).to_pylist()).encode()
    for shard, actor in shards.actors.items():
        for position, data in actor._journal.replay(actor._journal.oldest):
            body = decode_record(data).body
            if isinstance(body, Events):
                block = decode_block(body.block)
                found[f"payloads of {shard} at {position}"] = b"".join(Payloads(block)[i] for i in range(len(block)))
    return found


def holding(shards: LocalShards, folder: Path) -> set[str]:
    """Which parts of the disk hold the needle."""
    return {
        name.partition("/")[0].split(" ")[0]
        for name, data in everything(shards, folder).items()
        if NEEDLE.encode() in data
    }


@pytest.mark.parametrize("moved", ["before the flush", "after it", "to and fro"])
async def test_an_erased_user_is_in_no_byte_on_the_disk_once_the_time_promised_is_over(
    shards: LocalShards, tmp_path: Path, moved: str
) -> None:
    for actor in shards.actors.values():
        actor._housekeeping._snapshots.compression = None  # what lies in a pack can be seen, used or not
    person = {"traits": {"email": f"{NEEDLE}@example.com", NEEDLE: NEEDLE}, "type": "identify"}
    await send(shards, *(event(f"other-{n}", id=f"other-{n}") for n in range(50)))
    await send(shards, event(anonymous=f"dev-{NEEDLE}", id=f"d-{NEEDLE}"), event(f"old-{NEEDLE}"))
    await send(shards, event("ann", anonymous=f"dev-{NEEDLE}", id=f"i-{NEEDLE}", **person))
    await send(shards, event("ann", type="alias", previous=f"old-{NEEDLE}"))
    await settle(shards)
    if moved == "after it":
        await flush(shards)
    for _ in range(2 if moved == "to and fro" else 1):
        await move(shards)
    for actor in shards.actors.values():
        await actor._housekeeping.snapshot()
    await send(shards, event("ann", id=f"l-{NEEDLE}"))
    await flush(shards)
    assert holding(shards, tmp_path) >= {"journal", "snapshots", "rows"}
    await erase(shards)
    await erased(shards)
    await send(shards, event(f"old-{NEEDLE}", id=f"late-{NEEDLE}"))
    for actor in shards.actors.values():
        actor._housekeeping._snapshots._clock = lambda: wall_clock_ms() + 30 * DAY
    for _ in range(3):
        await flush(shards)
        for actor in shards.actors.values():
            await actor._housekeeping.snapshot()
    assert holding(shards, tmp_path) == set()
    assert len(stored(tmp_path, "u:other-1")) == 1
