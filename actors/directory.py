"""The directory actor: owner of the partition map, driver of moves.

The map and the moves under way are one small file, written beside and renamed; a move that a crash interrupted is
driven on at the next start. A move: the old home puts the state away and lets go (durable), the new home takes it up
(durable), then the map changes. Until it does, callers are told to wait; nobody is told yes twice.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec

from actors.fsync import create_durably
from actors.installation import configure_logs
from actors.replica_reports import ReplicaReports, Report
from actors.routing import DIRECTORY, PartitionMap, Shards
from whisperer.errors import RequestError, UnavailableError
from whisperer.ids import N_PARTITIONS

_log = logging.getLogger(__name__)


class Move(msgspec.Struct, frozen=True):
    tenant: str
    partition: int
    source: int
    target: int
    map_version: int


class DirectoryState(msgspec.Struct):
    map: PartitionMap
    moving: Move | None = None


class Directory:
    """Ray actor ``directory``. ``folder`` holds `directory.json`."""

    def __init__(self, folder: str, n_shards: int) -> None:
        installation = Path(folder).parent / "installation.json"
        if installation.exists():
            configure_logs(installation, DIRECTORY)
        self._path = Path(folder) / "directory.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._state = msgspec.json.decode(self._path.read_bytes(), type=DirectoryState)
        else:
            self._state = DirectoryState(PartitionMap(1, n_shards, n_shards))
        if n_shards > self._state.map.n_shards:
            self._set_map(n_shards=n_shards)
        self._save()
        self._reports = ReplicaReports()
        self._moving = asyncio.Lock()
        self._shards = Shards()
        self._resumed = asyncio.ensure_future(self._resume()) if self._state.moving else None

    def __repr__(self) -> str:
        return "Directory"

    async def exchange_reports(self, report: Report) -> list[Report]:
        """A gateway replica's counts come, everybody's go."""
        return self._reports.exchange(report)

    async def partition_map(self) -> PartitionMap:
        return self._state.map

    async def n_shards(self) -> int:
        """Shard actors this installation has; never fewer than it ever had partitions on."""
        return self._state.map.n_shards

    async def moving(self) -> Move | None:
        return self._state.moving

    async def move(self, tenant: str, partition: int, target: int) -> int:
        """Move one partition; the new map version. Raises RequestError for a place that does not exist."""
        if not 0 <= partition < N_PARTITIONS:
            raise RequestError(f"partition {partition} does not exist: there are {N_PARTITIONS}, from 0")
        if not 0 <= target < self._state.map.n_shards:
            raise RequestError(f"shard {target} does not exist: there are {self._state.map.n_shards}, from 0")
        async with self._moving:
            if self._state.moving is not None:  # one that failed half-way is finished before the next begins
                await self._drive(self._state.moving)
            source = self._state.map.shard_of(tenant, partition)
            if source == target:
                return self._state.map.version
            self._state.moving = Move(tenant, partition, source, target, self._state.map.version + 1)
            self._save()
            return await self._drive(self._state.moving)

    async def _resume(self) -> None:
        async with self._moving:
            if self._state.moving is not None:
                _log.warning("going on with the move of %s", self._state.moving)
                await self._drive(self._state.moving)

    async def _drive(self, move: Move) -> int:
        place = (move.tenant, move.partition, move.map_version)
        self._shards.map = self._state.map
        await self._until(move.source, "release", *place)
        await self._until(move.target, "adopt", *place, move.source)
        moves = {**self._state.map.moves, f"{move.tenant}/{move.partition}": move.target}
        self._set_map(version=move.map_version, moves=moves)
        self._state.moving = None
        self._save()
        return move.map_version

    async def _until(self, shard: int, method: str, *args: Any) -> None:
        while True:
            try:
                await self._shards.call(shard, method, *args)
                return
            except UnavailableError:
                await asyncio.sleep(0.5)

    def _set_map(self, **changes: Any) -> None:
        version = changes.pop("version", self._state.map.version + 1)
        self._state.map = msgspec.structs.replace(self._state.map, version=version, **changes)

    def _save(self) -> None:
        create_durably(self._path, msgspec.json.encode(self._state))
