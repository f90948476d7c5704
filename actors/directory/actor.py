"""The directory actor: own the partition map, and drive whatever changes it.

The map and what is under way are one small file, written next to the old one and renamed; what a crash interrupted is
resumed at the next start, one thing at a time. In a move, the old home brings everything to the new one
(:mod:`actors.shard.moving`), then the map changes. Until it does, callers are made to wait; no two homes accept the
same call. A shard is added empty, and removed once it holds nothing. In an upgrade, the successor stands by, the old
actor steps down, and the successor takes over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors.calls.named_actor import DIRECTORY, NAMESPACE
from actors.calls.orders import Figures, Moved, Upgraded
from actors.calls.partition_map import PartitionMap, shard_name
from actors.calls.plain import Plain, plain, read
from actors.calls.retry import Pauses, T, retry
from actors.calls.shard_status import TookOver
from actors.calls.shards import CallStatus, ShardCalls
from actors.directory import leftovers, starting
from actors.directory import state_file as directory_file
from actors.directory.replica_reports import ReplicaReports, Report
from actors.directory.state_file import DirectoryState, Move, Upgrade
from actors.files.fsync import create_durably
from actors.installation import configure_logs, load
from actors.limiter import Ask, Lease, Limiter
from whisperer.errors import ConflictError, RequestError, UnavailableError
from whisperer.ids import N_PARTITIONS, Partition, TenantId

HAND_OVER_TIMEOUT_S = 600.0
START_TIMEOUT_S = 120.0
REWARDS_TIMEOUT_S = 60.0
"""A learner that is away may cost a removed shard's newest rewards; waiting for ever would prevent the removal."""
FINISH_SLACK_S = 30.0
AGAIN_S = 0.2
RESUME_S = 1.0
"""Pause between tries after a failure that nobody foresaw."""

_log = logging.getLogger(__name__)


class Directory:
    """Ray actor ``directory``. ``folder`` holds `directory.json`, next to the installation's record."""

    def __init__(self, folder: str, n_shards: int) -> None:
        self._installation = Path(folder).parent / "installation.json"
        if self._installation.exists():
            configure_logs(self._installation, DIRECTORY)
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state = directory_file.read(self._folder) or DirectoryState(PartitionMap(1, n_shards, n_shards))
        if n_shards > self._state.map.n_shards:
            self._set_map(n_shards=n_shards)
        self._save()
        self._reports = ReplicaReports()
        self._delivery_reports = ReplicaReports()
        self._limiter = Limiter()
        self._one = asyncio.Lock()
        self._shards = ShardCalls()
        self._resumed: asyncio.Task[None] | None = None
        if self._is_under_way:
            self._go_on()

    def __repr__(self) -> str:
        return "Directory"

    async def exchange_reports(self, report: Report) -> list[Report]:
        """Keep a gateway replica's counts, and return those of all replicas."""
        return self._reports.exchange(report)

    async def leave_delivery_report(self, report: Report) -> None:
        """Keep what a replica of the delivery application says of the accounts that it uses."""
        self._delivery_reports.exchange(report)

    async def delivery_reports(self) -> list[Report]:
        """Return what the delivery application's replicas say."""
        return self._delivery_reports.newest()

    async def lease(self, asks: list[Ask]) -> list[Lease]:
        """Lease a gateway replica tokens of the rates of keys and tenants."""
        return self._limiter.lease(asks, time.monotonic())

    async def partition_map(self) -> PartitionMap:
        return self._state.map

    async def moving(self) -> Move | None:
        """Return the move under way, or None."""
        return self._state.moving

    # -- moves ----------------------------------------------------------------------------------------------------

    async def move(self, tenant: TenantId, partition: Partition, target: int) -> Plain:
        """Move one partition. Returns Moved.

        Raises RequestError for a place that does not exist.
        """
        if not 0 <= partition < N_PARTITIONS:
            raise RequestError(f"partition {partition} does not exist: there are {N_PARTITIONS}, from 0")
        self._require(target)
        async with self._one:
            await self._finish_what_waits()
            source = self._state.map.shard_of(tenant, partition)
            if source == target:
                return plain(Moved(map_version=self._state.map.version))
            if target in self._state.map.draining:
                raise ConflictError(
                    f"shard {target} is being emptied and takes nothing: choose another, or `whisperer shards add`"
                )
            self._state.moving = Move(tenant, partition, source, target, self._state.map.version + 1)
            self._save()
            try:
                return plain(await self._drive(self._state.moving))
            except BaseException:
                self._go_on()
                raise

    async def _drive(self, move: Move) -> Moved:
        self._shards.places.current = self._state.map
        place = (move.tenant, move.partition, move.map_version)
        _, figures = await self._until(
            lambda: self._shards.call(move.source, "hand_over", *place, move.target, timeout_s=HAND_OVER_TIMEOUT_S),
            is_done=lambda answer: answer[0] == CallStatus.OK,
        )
        moves = {**self._state.map.moves, f"{move.tenant}/{move.partition}": move.target}
        self._set_map(version=move.map_version, moves=moves)
        self._state.moving = None
        self._save()
        taken = msgspec.structs.asdict(read(figures, Figures))
        return Moved(map_version=move.map_version, source=move.source, **taken)

    # -- shards that come and go ----------------------------------------------------------------------------------

    async def add(self) -> int:
        """Start one more shard, empty, and return its number.

        No shard had that number before: a removed one's sums went to another. Raises ConflictError when there is no CPU
        left for it.
        """
        async with self._one:
            await self._finish_what_waits()
            partition_map = self._state.map
            number = partition_map.n_shards
            await self._start_shard(number, partition_map.name_of(number))
            self._set_map(n_shards=number + 1)
            self._save()
            return number

    async def close(self, shard: int) -> int:
        """Let a shard take no new partitions; return the heir that takes them. Moves away may begin. Idempotent."""
        self._require(shard)
        async with self._one:
            await self._finish_what_waits()
            partition_map = self._state.map
            if shard not in partition_map.draining:
                no_heirs = {shard, *partition_map.heirs, *partition_map.draining}
                heirs = [s for s in partition_map.shards if s not in no_heirs]
                if not heirs:
                    raise ConflictError(
                        f"shard {shard} is the last one that takes new partitions: `whisperer shards add` first"
                    )
                self._shards.places.current = partition_map
                held: dict[TenantId, list[int]] = await self._until(lambda: self._shards.call(shard, "close_down"))
                names = (f"{tenant}/{partition}" for tenant, found in held.items() for partition in found)
                moves = {**{name: shard for name in names if name not in partition_map.moves}, **partition_map.moves}
                draining = sorted({*partition_map.draining, shard})
                self._set_map(moves=moves, heirs={shard: heirs[0], **partition_map.heirs}, draining=draining)
                self._save()
            return self._state.map.heirs[shard]

    async def remove(self, shard: int) -> None:
        """Stop a shard that was emptied; its heir takes over its sums. Idempotent.

        Raises ConflictError while it holds anything.
        """
        self._require(shard)
        async with self._one:
            await self._finish_what_waits()
            partition_map = self._state.map
            self._shards.places.current = partition_map
            held = await self._until(lambda: self._shards.holdings(shard))
            n_held = sum(len(found.partition) for found in held.values())
            if n_held or shard not in partition_map.draining:
                raise ConflictError(
                    f"shard {shard} is in use ({n_held} partitions): run `whisperer shards drain {shard}` first"
                )
            n_erasures = await self._until(lambda: self._shards.call(shard, "n_erasures_waiting"))
            if n_erasures:
                raise ConflictError(
                    f"shard {shard} still takes {n_erasures} erased users out of the warehouse: try again in a minute"
                )
            await self._rewards_taken(shard)
            counts = await self._until(lambda: self._shards.call(shard, "counts"))
            heir = partition_map.heirs[shard]
            await self._until(lambda: self._shards.call(heir, "join_counts", counts))
            await self._until(lambda: self._shards.call(shard, "drain", timeout_s=HAND_OVER_TIMEOUT_S))
            draining = [s for s in partition_map.draining if s != shard]
            self._set_map(retired=sorted({*partition_map.retired, shard}), draining=draining)
            self._save()
            await self._end(partition_map.name_of(shard))
            await asyncio.to_thread(self._delete_leftovers)

    async def _rewards_taken(self, shard: int) -> None:
        deadline = time.monotonic() + REWARDS_TIMEOUT_S
        while await self._until(lambda: self._shards.call(shard, "n_rewards_waiting")):
            if time.monotonic() > deadline:
                _log.warning("the learner did not take the last rewards of shard %d", shard)
                return
            await asyncio.sleep(AGAIN_S)

    # -- upgrades -------------------------------------------------------------------------------------------------

    async def upgrade(self, shard: int) -> Plain:
        """Hand a shard over to a new process, which runs the code now on disk. Returns Upgraded.

        The installation's settings name the class that takes over.
        """
        self._require(shard)
        async with self._one:
            await self._finish_what_waits()
            self._shards.places.current = self._state.map
            began = time.monotonic()
            await self._until(lambda: self._shards.call(shard, "save", timeout_s=HAND_OVER_TIMEOUT_S))
            old_name = self._state.map.name_of(shard)
            head, _, number = old_name.partition(".")
            new_name = f"{head}.{int(number or 1) + 1}"
            await self._start_shard(shard, new_name, is_successor=True)
            await self._finish_sends(shard)
            prepared_s = time.monotonic() - began
            self._state.upgrading = Upgrade(shard, old_name, new_name)
            # From here on only the successor may open the journal, and callers who are refused look for it.
            self._set_map(names={**self._state.map.names, shard: new_name})
            self._save()
            try:
                return plain(await self._switch(self._state.upgrading, prepared_s))
            except BaseException:
                self._go_on()
                raise

    async def _switch(self, upgrade: Upgrade, prepared_s: float = 0.0) -> Upgraded:
        began = time.monotonic()
        old, new = ShardCalls(), ShardCalls()
        old.places.current = msgspec.structs.replace(self._state.map, names={upgrade.shard: upgrade.old_name})
        new.places.current = self._state.map
        try:
            await old.call(upgrade.shard, "step_down")
        except UnavailableError as error:  # its journal's fence ends it, if it is still there
            _log.warning("%s did not step down: %s", upgrade.old_name, error)
        answer = await self._until(lambda: new.call(upgrade.shard, "take_over", timeout_s=HAND_OVER_TIMEOUT_S))
        pause_s = time.monotonic() - began
        self._state.upgrading = None
        self._save()
        await self._end(upgrade.old_name)
        taken = msgspec.structs.asdict(read(answer, TookOver))
        return Upgraded(prepared_s=prepared_s, name=upgrade.new_name, pause_s=pause_s, **taken)

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _start_shard(self, shard: int, name: str, *, is_successor: bool = False) -> None:
        """Make a shard's actor and wait until it answers. Raises ConflictError."""
        installation = load(self._installation)
        usual = name == shard_name(shard) and not is_successor
        cls = starting.named(starting.SHARD_PROGRAM if usual else installation.settings.programs.successor)
        arguments = (shard, str(self._installation), *(() if usual else (name,)))
        cpus = installation.settings.cluster.cpu_shard
        on = starting.shards_live_on(installation.settings.cluster)
        actor = await asyncio.to_thread(starting.start, cls, name, cpus, *arguments, on=on)
        try:
            await asyncio.wait_for(actor.status.remote() if usual else actor.stand_by.remote(), START_TIMEOUT_S)
        except (TimeoutError, GetTimeoutError, RayActorError) as error:
            ray.kill(actor)
            raise ConflictError(
                f"{name} did not start within {START_TIMEOUT_S:g} s ({type(error).__name__}): each shard reserves "
                f"{cpus:g} CPUs; raise cluster.num_cpus or lower cluster.cpu_shard, then `whisperer down` and `up`"
            ) from None

    async def _finish_sends(self, shard: int) -> None:
        """Wait for sends, which may be slow, before callers are sent to the successor, which does not serve yet."""
        stop_timeout_s = load(self._installation).settings.delivery.stop_timeout_s
        try:
            await self._shards.call(shard, "finish_sends", timeout_s=stop_timeout_s + FINISH_SLACK_S)
        except (UnavailableError, RayTaskError) as error:  # it has none now, or reports them when it steps down
            _log.warning("%s did not finish its sends: %s", shard_name(shard), error)

    async def _end(self, name: str) -> None:
        try:
            ray.kill(await asyncio.to_thread(ray.get_actor, name, NAMESPACE))
        except ValueError:  # it has ended
            return

    @property
    def _is_under_way(self) -> bool:
        return bool(self._state.moving or self._state.upgrading)

    def _go_on(self) -> None:
        """Finish what is half-way even if nobody gives another order: a partition may be refused meanwhile."""
        if self._resumed is None or self._resumed.done():
            self._resumed = asyncio.ensure_future(self._resume())

    async def _resume(self) -> None:
        while self._is_under_way:
            try:
                async with self._one:
                    await self._finish_what_waits()
            except Exception:
                _log.exception("what was under way could not be finished; trying again")
                await asyncio.sleep(RESUME_S)

    async def _finish_what_waits(self) -> None:
        """Finish what failed half-way before anything else begins."""
        await asyncio.to_thread(self._delete_leftovers)
        if self._state.moving is not None:
            _log.warning("going on with the move of %s", self._state.moving)
            await self._drive(self._state.moving)
        if self._state.upgrading is not None:
            _log.warning("going on with the upgrade of %s", self._state.upgrading)
            await self._switch(self._state.upgrading)

    def _delete_leftovers(self) -> None:
        """Delete those of all removed shards: a crash may have come before it was done."""
        if self._state.map.retired:
            installation = load(self._installation)
            for shard in self._state.map.retired:
                leftovers.delete(installation, shard)

    async def _until(self, attempt: Callable[[], Awaitable[T]], is_done: Callable[[T], bool] = lambda _: True) -> T:
        return await retry(attempt, Pauses(AGAIN_S), is_done=is_done)

    def _require(self, shard: int) -> None:
        if shard not in self._state.map.shards:
            raise RequestError(
                f"shard {shard} does not exist; there are {', '.join(map(str, self._state.map.shards))}: "
                "`whisperer shards list`"
            )

    def _set_map(self, **changes: Any) -> None:
        version = changes.pop("version", self._state.map.version + 1)
        self._state.map = msgspec.structs.replace(self._state.map, version=version, **changes)

    def _save(self) -> None:
        create_durably(self._folder / directory_file.FILE, msgspec.json.encode(self._state))
