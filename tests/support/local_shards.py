"""Shard actors in this process: the real class, journal, snapshots and warehouse, without Ray between."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from actors.calls.inline_blocks import to_pieces
from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import ShardCalls
from actors.shard.actor import ShardActor
from whisperer.errors import UnavailableError
from whisperer.events.block import EventBlock, encode_block


def write_installation(folder: Path, *, shards: int = 2, flush_s: float = 3600, snapshot_s: float = 3600) -> Path:
    """An `installation.json` with what actors read of it."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "cluster": {"shards": shards, "cpu_shard": 0.1, "cpu_directory": 0.05, "cpu_learner": 0.05},
        "journal": {"url": f"file://{folder}/journal", "segment_bytes": 64 << 20},
        "snapshots": {"interval_s": snapshot_s, "uri": f"file://{folder}/snapshots", "keep": 2},
        "warehouse": {"uri": f"file://{folder}/warehouse", "flush_interval_s": flush_s},
        "dedup": {"max_ids": 1_000_000, "window_h": 24},
    }
    path = folder / "installation.json"
    path.write_text(json.dumps({"data_dir": str(folder), "ray_address": "", "settings": settings}))
    return path


class LocalPlaces(MapHolder):
    """`latest` is the test's to set: what the directory would answer."""

    def __init__(self, n_shards: int) -> None:
        super().__init__()
        self.current = PartitionMap(1, n_shards, n_shards)
        self.latest: PartitionMap | None = None

    async def refresh(self) -> PartitionMap:
        self.current = self.latest or self.current
        return self.current


class LocalShards(ShardCalls):
    """Calls go to actors in this process; the map is the test's to set."""

    def __init__(self, installation: Path, n_shards: int = 2) -> None:
        super().__init__(LocalPlaces(n_shards))
        self.installation = installation
        self.actors: dict[int, ShardActor] = {}
        self._crashes: dict[int, asyncio.Future[None]] = {}
        for shard in range(n_shards):
            self.start(shard)

    def start(self, shard: int) -> ShardActor:
        self._crashes[shard] = asyncio.get_running_loop().create_future()
        actor = self.actors[shard] = ShardActor(shard, str(self.installation))
        actor._shards = self
        actor._courier._shards = self
        actor._moving._shards = self
        actor._housekeeping._shards = self
        return actor

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        actor = self.actors.get(shard)
        if actor is None:
            raise UnavailableError(f"shard {shard} is away")
        work = asyncio.ensure_future(getattr(actor, method)(*args))
        crash = self._crashes[shard]
        await asyncio.wait({work, crash}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            raise UnavailableError(f"shard {shard} died under the call")
        return work.result()

    async def crash(self, shard: int) -> None:
        """As kill -9 would: nothing is flushed, drained or said. Only the file lock must be given back by hand."""
        actor = self.actors.pop(shard)
        self._crashes[shard].set_result(None)
        tasks = [*actor._courier._workers.values(), *actor._moving._sweeps.values()]
        for task in [*actor._tasks, actor._committer._task, *tasks]:
            task.cancel()
        actor._committer.thread.shutdown(wait=True)
        actor._bookkeeper.close()
        actor._journal._fence.release()
        actor._journal._close_files()

    async def close(self) -> None:
        for actor in self.actors.values():
            await actor.drain()


def arguments(*blocks: EventBlock) -> tuple[Any, ...]:
    """The arguments of `ingest` after the map's version, as the gateway packs them."""
    sizes, pieces = to_pieces([encode_block(block) for block in blocks])
    return sizes, *pieces
