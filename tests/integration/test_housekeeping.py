"""A shard actor keeps house beside its work: snapshots, exports and compactions by children while events come in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from actors.processes.forked import Forked, ForkError
from actors.shard import housekeeping
from actors.shard.actor import ShardActor
from actors.warehouse import Warehouse
from tests.integration.test_shard_actor import send
from tests.support.local_shards import LocalShards, write_installation
from tests.support.shard_world import T0, TENANT, event
from whisperer.settings import Settings
from whisperer.shard import inspection


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[LocalShards]:
    made = LocalShards(write_installation(tmp_path, shards=1), 1)
    yield made
    for actor in made.actors.values():
        inspection.check(actor._shard)
    await made.close()


class Traffic:
    """Sends events one batch after another until it is stopped; each acknowledged id once."""

    def __init__(self, shards: LocalShards) -> None:
        self.acknowledged: set[str] = set()
        self._shards = shards
        self._stop = False
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        n = 0
        while not self._stop:
            ids = [f"m{n + i}" for i in range(10)]
            n += len(ids)
            await send(self._shards, *(event(f"u{int(id[1:]) % 97}", id=id, at=T0 + n) for id in ids))
            self.acknowledged.update(ids)

    async def stop(self) -> set[str]:
        self._stop = True
        await self._task
        return self.acknowledged


def counters(actor: ShardActor) -> tuple[int, int]:
    found = actor._shard.tenants[TENANT].counters
    return found["events_accepted"], found["events_duplicate"]


def stored(folder: Path) -> list[str]:
    rows = Warehouse(folder / "warehouse").duckdb_relation(TENANT).project("message_id").fetchall()
    return sorted(message_id for (message_id,) in rows)


async def test_a_snapshot_taken_under_traffic_is_the_state_at_its_position(shards: LocalShards) -> None:
    traffic = Traffic(shards)
    for _ in range(3):
        await shards.actors[0]._housekeeping.snapshot()
    sent = await traffic.stop()
    before = inspection.digest(shards.actors[0]._shard)
    last = shards.actors[0]._housekeeping.last_snapshot
    assert (last.pause_ms or 0) > 0
    assert 0 < (last.new_chunks or 0) <= (last.chunks or 0)
    await shards.crash(0)
    actor = shards.start(0)
    assert inspection.digest(actor._shard) == before
    assert counters(actor) == (len(sent), 0)


async def test_everything_acknowledged_is_in_the_warehouse_once_after_exports_compactions_and_crashes(
    shards: LocalShards, tmp_path: Path
) -> None:
    sent: set[str] = set()
    for round_ in range(6):
        batch = [event(f"u{i}", id=f"m{round_}-{i}", at=T0 + i) for i in range(20)]
        await send(shards, *batch)
        await send(shards, *batch[:5])
        sent |= {str(e["id"]) for e in batch}
        keeping = shards.actors[0]._housekeeping
        await keeping.export()
        if round_ % 3 == 2:
            under_way = asyncio.ensure_future(keeping.compact())
            for _ in range(round_ * 3):
                await asyncio.sleep(0)
            await shards.crash(0)  # while a child rewrites files
            await asyncio.gather(under_way, return_exceptions=True)
            shards.start(0)
        else:
            await keeping.compact()
    keeping = shards.actors[0]._housekeeping
    keeping._settings = _compacting_at(keeping, 2)
    await keeping.export()
    await keeping.compact()
    assert keeping.compaction.files_merged >= 2
    assert keeping.compaction.dates_waiting == 0
    assert stored(tmp_path) == sorted(sent)
    assert len(Warehouse(tmp_path / "warehouse").files(TENANT)) == 1


async def test_a_lost_child_is_tried_again_and_then_done_without(
    shards: LocalShards, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(*_: object) -> Forked:
        raise ForkError("no child process could be made")

    await send(shards, *(event(f"u{i}", id=f"m{i}") for i in range(50)))
    actor = shards.actors[0]
    before = inspection.digest(actor._shard)
    monkeypatch.setattr(Forked, "start", lose)
    for _ in range(housekeeping.CHILDREN_TO_LOSE):
        with pytest.raises(ForkError):
            await actor._housekeeping.snapshot()
    assert actor._housekeeping.snapshot_position == -1
    with caplog.at_level(logging.WARNING):
        await actor._housekeeping.snapshot()
    assert "without one" in caplog.text
    monkeypatch.undo()
    await shards.crash(0)
    recovered = shards.start(0)
    assert recovered._recovery.records == 0
    assert inspection.digest(recovered._shard) == before


def _compacting_at(keeping: housekeeping.Housekeeping, n_files: int) -> Settings:
    settings = keeping._settings
    warehouse = msgspec.structs.replace(settings.warehouse, compact_files=n_files)
    return msgspec.structs.replace(settings, warehouse=warehouse)
