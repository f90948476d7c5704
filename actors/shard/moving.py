"""Do a shard's part in moves: let a partition go while serving it, and take one in.

The old home drives: it copies the partition's users to the new one in parts, repeating those that changed meanwhile,
until few are left; then it refuses the partition to everybody, freezes it, and sends the rest and the closing state.
That is the pause; everything before and after happens alongside the shard's work, in slices of `SLICE_S`. It keeps what
it froze until the new home has all of it durably, so a crash of either at any moment loses nothing: the directory calls
again, and whoever has lost track of the progress starts over. The other partitions notice only the extra work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from actors.calls.orders import Figures
from actors.calls.plain import plain
from actors.calls.shard_status import Holdings
from actors.calls.shards import CallStatus, ShardCalls
from actors.shard.commit import Committer
from actors.shard.loop.deliverer import Deliverer
from whisperer.errors import UnavailableError
from whisperer.ids import Partition, TenantId
from whisperer.profiles.population import LIVE
from whisperer.shard.machine import Shard
from whisperer.shard.move import closing
from whisperer.shard.move.packing import Copying, rows_of
from whisperer.shard.records import PartitionJoined, PartitionLeft, PartitionPart, PartitionSwept
from whisperer.shard.state.shard import Place

SLICE_S = 0.01
"""Longest time to pack a part; the new home needs about three times as long to take it."""
MOST_IN_A_PART = 100
FEW = 100
"""At most this many users are left for the pause."""
MOST_ROUNDS = 20
SWEPT_AT_ONCE = 500
AGAIN_S = 0.05

BEGIN_AGAIN = "begin_again"
"""The new home does not know the parts before this one."""

_log = logging.getLogger("whisperer.shard")

Answer = tuple[str, Any]


class _BeginAgainError(Exception):
    pass


class Moving:
    """Move partitions from and to this shard. Use from one event loop."""

    def __init__(
        self, shard: Shard, committer: Committer, deliverer: Deliverer, shards: ShardCalls, stop_timeout_s: float
    ) -> None:
        self._shard = shard
        self._committer = committer
        self._deliverer = deliverer
        self._shards = shards
        self._stop_timeout_s = stop_timeout_s
        self._one = asyncio.Lock()
        self._copying: tuple[Place, int, Copying] | None = None
        self._sweeps: dict[Place, asyncio.Task[None]] = {}
        self.leaving: set[Place] = set()
        """Partitions that are refused because they are about to be frozen."""
        self.n_left = 0
        self.n_joined = 0

    @property
    def has_strays(self) -> bool:
        """Whether any partition may be elsewhere: a quick check before asking about each."""
        return bool(self.leaving or self._shard.absent or self._shard.kept is not None)

    def is_elsewhere(self, tenant: TenantId, partition: Partition) -> bool:
        """Report whether a partition does not live here, or is about to leave."""
        place = (tenant, partition)
        return place in self.leaving or not self._shard.is_at_home(tenant, partition)

    def resume(self) -> None:
        """Go on removing what a crash kept from being removed."""
        for place in self._shard.sweeping:
            self._begin_sweep(place)

    def holdings(self) -> dict[TenantId, Holdings]:
        """Return, per tenant, the partitions at home here, with their users and events ever."""
        found: dict[TenantId, Holdings] = {}
        for tenant in self._shard.tenants.values():
            table = tenant.people.table
            n = table.n
            counted = (table["status"][:n] == LIVE) & (table["n_events"][:n] > 0)
            users = np.bincount(table["partition"][:n][counted], minlength=len(tenant.sequence))
            here = sorted(p for p in closing.held(tenant) if not self.is_elsewhere(tenant.id, p))
            found[tenant.id] = Holdings(here, users[here].tolist(), tenant.sequence[here].tolist())
        return found

    # -- the old home ---------------------------------------------------------------------------------------------

    async def hand_over(self, tenant: TenantId, partition: Partition, map_version: int, target: int) -> Answer:
        """Move a partition to another shard; OK, with figures, once that shard has it durably. Idempotent.

        Raises UnavailableError when the new home is away; call again.
        """
        async with self._one:
            place = (tenant, partition)
            figures = Figures()
            began = time.perf_counter()
            await self._shards.places.refresh()  # the new home's actor may have another name by now
            if not await self._shards.call(target, "has_joined", tenant, partition, map_version):
                await self._bring(place, map_version, target, figures)
            self._end_copying()
            await self._committer.submit_bounded(PartitionSwept(tenant, partition, SWEPT_AT_ONCE))
            self._begin_sweep(place)
            self.n_left += 1
            figures.seconds = time.perf_counter() - began
            _log.info("partition %d of %s went to shard %d: %s", partition, tenant, target, figures)
            return CallStatus.OK, plain(figures)

    async def _bring(self, place: Place, map_version: int, target: int, figures: Figures) -> None:
        while True:
            try:
                copying = await self._copy(place, map_version, target, figures)
                await self._finish(place, map_version, target, copying, figures)
                return
            except _BeginAgainError:
                _log.warning("shard %d has lost parts of partition %d of %s: again", target, place[1], place[0])
                self._end_copying()

    async def _copy(self, place: Place, map_version: int, target: int, figures: Figures) -> Copying:
        """Send everything that can be sent while the partition serves."""
        frozen = self._shard.moved.get(place, 0) >= map_version
        if self._copying is not None and self._copying[:2] == (place, map_version):
            return self._copying[2]  # a call made again after the new home was away
        self._end_copying()
        copying = Copying(self._shard, *place)
        self._copying = place, map_version, copying
        await self._send(place, map_version, target, copying, figures, [copying.pack(np.empty(0, np.int64))])
        for _ in copying.scan_owners():
            await asyncio.sleep(0)
        await self._send(place, map_version, target, copying, figures, copying.message_ids())
        for _ in range(MOST_ROUNDS):
            n = await self._send_users(place, map_version, target, copying, figures, beside=not frozen)
            figures.rounds += 1
            figures.users = max(figures.users, n)
            if len(copying.changed()) <= FEW:
                break
        return copying

    async def _finish(self, place: Place, map_version: int, target: int, copying: Copying, figures: Figures) -> None:
        """Do the pause: nobody is served until the new home has the closing state."""
        if self._shard.moved.get(place, 0) < map_version:
            await self._deliverer.stop(*place, self._stop_timeout_s)  # before the pause: providers may be slow
        began = time.perf_counter()
        if self._shard.moved.get(place, 0) < map_version:
            await self._freeze(place, map_version)
        while copying.changed().size or copying.has_gone():
            figures.users_in_pause += await self._send_users(place, map_version, target, copying, figures)
        await self._send(place, map_version, target, copying, figures, copying.engagements())
        await self._send(place, map_version, target, copying, figures, copying.message_ids())
        last = copying.last()
        figures.size_bytes += len(last)
        figures.parts = copying.n_parts
        await self._told(target, "join", *place, map_version, last)
        figures.pause_ms = (time.perf_counter() - began) * 1000

    async def _freeze(self, place: Place, map_version: int) -> None:
        """Refuse the partition from now on. What was accepted before is in the journal, so the frozen state has it."""
        self.leaving.add(place)
        left = self._committer.submit_bounded(PartitionLeft(*place, map_version, kept=True))
        left.add_done_callback(lambda _: self.leaving.discard(place))  # the state says it from then on
        await asyncio.shield(left)

    async def _send_users(
        self, place: Place, map_version: int, target: int, copying: Copying, figures: Figures, *, beside: bool = False
    ) -> int:
        """Send those that changed, once; return how many. ``beside`` leaves half of the time to the shard's work."""
        rows = copying.changed()
        at, n = 0, MOST_IN_A_PART // 5
        while at < len(rows) or copying.has_gone():
            began = time.perf_counter()
            part = copying.pack(rows[at : at + n])
            took = time.perf_counter() - began
            at += n
            n = min(MOST_IN_A_PART, max(1, int(n * SLICE_S / max(took, 1e-6))))
            await self._send(place, map_version, target, copying, figures, [part])
            if beside:
                await asyncio.sleep(took)
        return len(rows)

    async def _send(
        self,
        place: Place,
        map_version: int,
        target: int,
        copying: Copying,
        figures: Figures,
        parts: Iterable[bytes],
    ) -> None:
        for part in parts:
            figures.size_bytes += len(part)
            await self._told(target, "arrive", *place, map_version, copying.n_parts - 1, part)

    async def _told(self, target: int, method: str, *args: Any) -> None:
        """Send to the new home until it has it durably, however often that takes: a part is packed once.

        Raises _BeginAgainError.
        """
        while True:
            try:
                status, _ = await self._shards.call(target, method, *args)
            except UnavailableError:
                status = CallStatus.OVERLOADED
                with contextlib.suppress(UnavailableError):
                    await self._shards.places.refresh()
            if status == CallStatus.OK:
                return
            if status == BEGIN_AGAIN:
                raise _BeginAgainError
            await asyncio.sleep(AGAIN_S)

    def _end_copying(self) -> None:
        if self._copying is not None:
            self._copying[2].close()
            self._copying = None

    # -- the new home ---------------------------------------------------------------------------------------------

    def has_joined(self, tenant: TenantId, partition: Partition, map_version: int) -> bool:
        """Report whether the partition is at home here since that version of the map."""
        place = (tenant, partition)
        return self._shard.moved.get(place, 0) >= map_version and place not in self._shard.absent

    async def arrive(
        self, tenant: TenantId, partition: Partition, map_version: int, number: int, part: bytes
    ) -> Answer:
        """Store a part of a partition that is moving here; OK once it is durable. Idempotent."""
        place = (tenant, partition)
        if number == 0:
            await self._make_room(place)
        if self._next(place, map_version) == number or number == 0:
            await self._committer.submit_bounded(PartitionPart(*place, map_version, number, part), len(part))
        return (CallStatus.OK if self._next(place, map_version) == number + 1 else BEGIN_AGAIN), None

    async def join(self, tenant: TenantId, partition: Partition, map_version: int, state: bytes) -> Answer:
        """Take up a partition all of whose parts are here; OK once it is at home. Idempotent."""
        if not self.has_joined(tenant, partition, map_version):
            self._deliverer.resume(tenant, partition)
            await self._committer.submit_bounded(PartitionJoined(tenant, partition, map_version, state), len(state))
            self.n_joined += 1
        return (CallStatus.OK if self.has_joined(tenant, partition, map_version) else BEGIN_AGAIN), None

    def _next(self, place: Place, map_version: int) -> int:
        """Return the number of the part to come next."""
        version, n_parts = self._shard.arriving.get(place, (0, 0))
        return n_parts if version == map_version else 0

    async def _make_room(self, place: Place) -> None:
        """Remove, slice by slice, what is left of an earlier stay or of a move that started over."""
        sweep = self._sweeps.get(place)
        if sweep is not None:
            await asyncio.wait([sweep])
        people = self._shard.tenant(place[0]).people
        while rows_of(people, place[1]).size > SWEPT_AT_ONCE and (
            place in self._shard.absent or place in self._shard.arriving
        ):
            await self._committer.submit_bounded(PartitionSwept(*place, SWEPT_AT_ONCE))

    # -- forgetting -----------------------------------------------------------------------------------------------

    def _begin_sweep(self, place: Place) -> None:
        if place not in self._sweeps:
            task = self._sweeps[place] = asyncio.ensure_future(self._sweep(place))
            task.add_done_callback(lambda _: self._sweeps.pop(place, None))

    async def _sweep(self, place: Place) -> None:
        while place in self._shard.sweeping:
            await self._committer.submit_bounded(PartitionSwept(*place, SWEPT_AT_ONCE))
            await asyncio.sleep(SLICE_S)

    async def close(self) -> None:
        """Stop sweeping; the next start goes on with it."""
        for task in list(self._sweeps.values()):
            task.cancel()
        await asyncio.gather(*self._sweeps.values(), return_exceptions=True)
