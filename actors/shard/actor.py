"""The shard actor: one process, one journal, many partitions of many tenants.

A shell around :class:`whisperer.shard.machine.Shard`: it gives records their time and epoch, makes them durable before
anything else happens, carries out effects, and takes snapshots. Its constructor recovers, so a restarted actor is ready
when it answers. Methods that change something return (status, value): "" when done, otherwise a reason to try again.
Those about single users are in :mod:`actors.shard.answering`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from actors.calls.call_log import Calls
from actors.calls.inline_blocks import to_blocks
from actors.calls.orders import Drained
from actors.calls.partition_map import shard_name
from actors.calls.plain import Plain, plain
from actors.calls.retry import Pauses, retry
from actors.calls.shard_status import SERVING, MovesState, RecoveryState, ShardStatus
from actors.calls.shards import CallStatus, ShardCalls
from actors.calls.socket_server import DirectServer
from actors.installation import Installation, configure_logs, load
from actors.processes.bookkeeper import Bookkeeper
from actors.shard import garbage, recovery, status
from actors.shard.answering import Answer, Answering
from actors.shard.commit import RETRY_AFTER_S, Committer, wall_clock_ms
from actors.shard.courier import Courier
from actors.shard.flushing import Flushing
from actors.shard.housekeeping import Housekeeping
from actors.shard.letterbox import Letterbox
from actors.shard.listings import Listings
from actors.shard.loop.engagement_loop import EngagementLoop
from actors.shard.moving import Moving
from actors.shard.newest import Newest
from actors.shard.payloads import Payloads
from actors.shard.recent_events import RecentEvents
from actors.shard.scoring import Scoring
from actors.shard.showing import Showing
from actors.shard.weighing import cut
from actors.snapshots.retention import Retention
from actors.snapshots.store import SnapshotStore
from actors.warehouse import Warehouse
from actors.warehouse.export import Exporter
from actors.warehouse.jobs import worker
from whisperer.errors import JournalDamagedError
from whisperer.events.block import EventBlock
from whisperer.events.decoding import readable
from whisperer.feedback.outcome import Reward
from whisperer.ids import Partition, TenantId, UserKey
from whisperer.models.store import ArtifactStore
from whisperer.shard.effects import Effect, SendLetter, UserErased
from whisperer.shard.move import closing
from whisperer.shard.records import (
    CampaignConfig,
    ConfigPublished,
    CountsJoined,
    Events,
    Experiment,
    Letter,
    LettersConfirmed,
    Record,
    RewardsTaken,
    ScoreModelChosen,
    SegmentConfig,
    ShardClosed,
    Tick,
)
from whisperer.shard.warm import warm

TICK_S = 0.25
MAP_PAUSES = Pauses(0.2)
HOLD_S = 60.0
"""An announced stop has failed if it has not come this long after the slowest shard's sends ended."""

_log = logging.getLogger("whisperer.shard")


class ShardActor(Answering):
    """Ray actor ``shard-<n>`` in namespace ``whisperer``."""

    def __init__(self, shard_id: int, installation_path: str, prepared: recovery.Prepared | None = None) -> None:
        installation = load(installation_path)
        configure_logs(installation_path, shard_name(shard_id), shard=shard_id)
        self._settings = installation.settings
        self._id = shard_id
        # Ray titles a process by its actor's class, so `ps` and `top` distinguish shards, like Serve's replicas.
        self.__class__ = type(f"{type(self).__name__}:{shard_name(shard_id)}", (type(self),), {})
        self._calls = Calls()
        socket = Path(installation.temp_dir or "no temp_dir") / f"{shard_name(shard_id)}-{os.getpid()}"
        methods = (
            *(self.ingest, self.ask, self.user_document, self.located, self.payloads, self.state_consent),
            *(self.inbox, self.mark_inbox),
        )
        self._direct = DirectServer(socket, {method.__name__: method for method in methods}, self._calls.run)
        self._begin_bookkeeping(installation)
        warm()
        name = f"shard-{shard_id:04d}"
        snapshots = SnapshotStore(
            self._settings.snapshots.uri,
            name,
            spool=Path(installation.data_dir) / "spool" / name,
            retention=Retention(self._settings.snapshots.retention_days),
        )
        try:
            recovered = recovery.recover_when_possible(shard_id, self._settings, snapshots, prepared=prepared)
        except JournalDamagedError:
            _log.exception("shard %d cannot recover; see docs/storage.md, damage", shard_id)
            raise
        garbage.keep_away()
        self._shard, self._journal = recovered.shard, recovered.journal
        self._recovery = RecoveryState(recovered.n_replayed, round(recovered.seconds, 3))
        self._warehouse = Warehouse(self._settings.warehouse.uri, pseudonym_key=bytes.fromhex(installation.link_secret))
        self._exporter = Exporter(self._shard, self._journal, self._warehouse)
        self._payloads = Payloads(self._journal)
        self._showing = Showing(shard_id, self._shard, self._payloads)
        self._shards = ShardCalls()
        self._committer = Committer(
            self._journal,
            self._shard,
            on_effects=self._carry_out,
            on_applied=self._remember,
            on_failure=_die,
        )
        self._shard.steps = self._committer.steps
        self._loop = EngagementLoop(
            self._shard, self._submit, wall_clock_ms, RecentEvents(shard_id, self._shard, self._payloads).of
        )
        models = Path(installation.data_dir) / "spool" / "models"
        self._housekeeping = Housekeeping(
            self._shard,
            self._journal,
            self._committer,
            self._exporter,
            snapshots,
            self._settings,
            self._warehouse,
            self._shards,
            self._bookkeeper,
            ArtifactStore(self._settings.models.uri, models) if self._settings.models.uri else None,
            Path(installation.data_dir) / "training",
        )
        self._flushing = Flushing(self._housekeeping.export)
        self._newest = Newest(
            self._shard, self._journal, self._committer, self._flushing.done, lambda: self._housekeeping.exported_to
        )
        self._moving = Moving(
            self._shard,
            self._committer,
            self._loop.deliverer,
            self._shards,
            self._settings.delivery.stop_timeout_s,
        )
        self._letterbox = Letterbox(self._shard, self._committer, self._moving.is_elsewhere)
        self._listings = Listings(self._shard, self._moving.is_elsewhere)
        self._courier = Courier(shard_id, self._shards, self._shard.letters, self._accept_letters, self._confirm)
        self._scoring = Scoring(
            self._shard,
            self._submit,
            wall_clock_ms,
            models,
            self._settings.scoring,
        )
        self._draining = False
        self._send_again: asyncio.TimerHandle | None = None
        self._tasks = [
            asyncio.ensure_future(task)
            for task in (self._tick_forever(), self._housekeeping.run(), self._resume(), self._scoring.run())
        ]
        for task in self._tasks:
            task.add_done_callback(_die_of)

    def _begin_bookkeeping(self, installation: Installation) -> None:
        """Start the bookkeeper, unless it runs, before there is a state: a later fork pays for every page written."""
        if not hasattr(self, "_bookkeeper"):
            uri, secret = installation.settings.warehouse.uri, installation.link_secret
            self._bookkeeper = Bookkeeper(worker(uri, bytes.fromhex(secret)))
            self._bookkeeper.start()

    def __repr__(self) -> str:
        """Return what Ray shows before this actor's output and in its dashboard."""
        return f"ShardActor {shard_name(self._id)}"

    # -- what callers ask -----------------------------------------------------------------------------------------

    async def call(self, traces: list[tuple[str, str]], method: str, *args: Any) -> Any:
        """Call one of the methods below for requests, (request id, trace id) each: how :class:`ShardCalls` calls."""
        return await self._calls.run(traces, method, getattr(self, method), args)

    async def direct_way(self) -> Answer:
        """Return path and token of the socket for callers on this machine; None where there cannot be one."""
        try:
            await self._direct.start()
        except OSError:
            return CallStatus.OK, None
        return CallStatus.OK, (str(self._direct.path), self._direct.token)

    async def ingest(self, map_version: int, sizes: list[int], *pieces: bytes | memoryview) -> Answer:
        """Store and apply encoded event blocks; OK only once all of them are durable.

        `stale_map` may come with the numbers of the blocks that have events of partitions living elsewhere: only those
        were refused. Blocks follow one another; through Ray they come in pieces that are each small enough to travel
        inside the call. Raises JournalDamagedError for what is not a block. A block that would take too long to apply
        is stored as several.
        """
        refusal = self._refusal(map_version)
        if refusal:
            return refusal
        blocks = to_blocks(sizes, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        read = [readable(block) for block in blocks]  # what cannot be read must not be journaled: replay would die
        strays = [n for n, one in enumerate(read) if self._strays(one.block)] if self._moving.has_strays else []
        at_home = [n for n in range(len(blocks)) if n not in strays]
        if not self._committer.has_room(sum(len(blocks[n]) + read[n].block.payload_size for n in at_home)):
            return CallStatus.OVERLOADED, RETRY_AFTER_S
        submitted = [
            self._committer.submit_bounded(part, len(part.block) + read[n].block.payload_size // len(parts))
            for n in at_home
            for parts in [cut(self._shard, read[n], blocks[n])]
            for part in parts
        ]
        await asyncio.gather(*submitted)
        return (CallStatus.STALE_MAP, strays) if strays else (CallStatus.OK, None)

    async def take_letters(self, map_version: int, letters: list[Letter]) -> tuple[str, Sequence[str] | None]:
        """Accept other shards' letters: OK and the fate of each (:mod:`actors.shard.letterbox`), once durable."""
        refusal = self._refusal(map_version)
        return (refusal[0], None) if refusal else await self._accept_letters(letters)

    async def flush(self) -> None:
        """Export everything acknowledged so far to the warehouse."""
        await self._flushing.done()

    async def newest(self, tenant: TenantId, can_read: bool) -> Plain:
        """Return what of the tenant the warehouse may not have yet (:mod:`actors.shard.newest`): ShardTail."""
        return plain(await self._newest.of(tenant, can_read))

    async def rewrite_without(self, tenant: TenantId, erased: dict[UserKey, int]) -> int:
        """Remove users, of whatever shard, from the warehouse's files: asked of the one shard that rewrites them."""
        return await self._housekeeping.rewrite_without(tenant, erased)

    async def n_erasures_waiting(self) -> int:
        """Return how many erased users may still be in the warehouse."""
        return self._housekeeping.n_erasures_waiting

    async def publish(
        self,
        tenant: TenantId,
        version: int,
        segments: list[SegmentConfig],
        campaigns: list[CampaignConfig],
        experiment: Experiment,
    ) -> None:
        """Take over a tenant's whole published configuration. Journaled only if it differs from what is live."""
        held = self._shard.tenant(tenant)
        live = [entry.config for entry in held.segments.live.values()]
        same = (
            sorted(live, key=_name) == sorted(segments, key=_name)
            and sorted(held.loop.campaigns.configs, key=_name) == sorted(campaigns, key=_name)
            and held.loop.experiment == experiment
        )
        if version > held.config_version and not same:
            await self._committer.submit_bounded(ConfigPublished(tenant, version, segments, campaigns, experiment))

    # -- the loop ------------------------------------------------------------------------------------------------------

    async def rewards(self, since: dict[TenantId, int], limit: int) -> list[tuple[TenantId, Reward]]:
        """Return the rewards from each tenant's number on, in order: the learner pulls them."""
        return self._loop.rewards(since, limit)

    async def rewards_taken(self, tenant: TenantId, before: int) -> None:
        """Note that the learner has stored every reward of the tenant below this number."""
        if before > self._shard.tenant(tenant).loop.rewards.first:
            await self._committer.submit_bounded(RewardsTaken(tenant, before))

    async def choose_score_model(self, chosen: ScoreModelChosen) -> None:
        """Set the model that scores the tenant's users from here on, without waiting for the sweep that follows."""
        await self._scoring.choose(chosen)

    async def sweep_scores(self) -> int:
        """Score every user now; return how many there are."""
        return await self._scoring.sweep()

    async def status(self) -> Plain:
        """Return the shard's numbers, for people, pages and metrics: ShardStatus."""
        return plain(self._status())

    def _status(self) -> ShardStatus:
        journal, keeping, deliverer = self._journal, self._housekeeping, self._loop.deliverer
        tenants = status.tenants(self._shard, self._loop.latest)
        dedup = self._shard.dedup
        return ShardStatus(
            name=shard_name(self._id),
            pid=os.getpid(),
            epoch=journal.epoch,
            state="draining" if self._draining else "waiting" if journal.trouble else SERVING,
            journal_trouble=journal.trouble,
            rss_bytes=psutil.Process().memory_info().rss,
            journal_bytes=journal.end - journal.oldest,
            journal_end=journal.end,
            exported=self._exporter.exported(),
            warehouse_rows=self._exporter.n_rows,
            snapshot_position=keeping.snapshot_position,
            snapshot=keeping.last_snapshot,
            moves=MovesState(self._moving.n_left, self._moving.n_joined),
            recovery=self._recovery,
            waiting_bytes=self._committer.waiting_bytes,
            letters=self._letterbox.state(self._courier.n_waiting),
            compaction=keeping.compaction,
            erasures_waiting=keeping.n_erasures_waiting,
            retention=keeping.retention(),
            candidates_waiting=self._loop.decider.n_waiting,
            messages_to_send=deliverer.n_waiting,
            messages_under_way=deliverer.n_under_way,
            commit=status.commit(self._committer),
            calls=self._calls.state(),
            scoring=self._scoring.state(),
            sequence=status.n_events(self._shard),
            partitions=status.n_partitions(self._shard),
            users=sum(counts.users for counts in tenants.values()),
            dedup_ids=len(dedup),
            dedup_bytes=dedup.nbytes,
            dedup_evicted=dedup.n_evicted,
            tenants=tenants,
            listing=self._listings.state(),
        )

    # -- moving partitions -------------------------------------------------------------------------------------------

    async def hand_over(self, tenant: TenantId, partition: Partition, map_version: int, target: int) -> Answer:
        """Move a partition to another shard (:mod:`actors.shard.moving`)."""
        return await self._moving.hand_over(tenant, partition, map_version, target)

    async def arrive(
        self, tenant: TenantId, partition: Partition, map_version: int, number: int, part: bytes
    ) -> Answer:
        """See :meth:`actors.shard.moving.Moving.arrive`."""
        return await self._moving.arrive(tenant, partition, map_version, number, part)

    async def join(self, tenant: TenantId, partition: Partition, map_version: int, state: bytes) -> Answer:
        """See :meth:`actors.shard.moving.Moving.join`."""
        return await self._moving.join(tenant, partition, map_version, state)

    async def has_joined(self, tenant: TenantId, partition: Partition, map_version: int) -> bool:
        """See :meth:`actors.shard.moving.Moving.has_joined`."""
        return self._moving.has_joined(tenant, partition, map_version)

    async def close_down(self) -> dict[TenantId, list[Partition]]:
        """Take no more partitions that hold nothing here; return those that hold something, by tenant."""
        await self._committer.submit_bounded(ShardClosed())
        return {tenant: found.partition for tenant, found in self._moving.holdings().items()}

    async def counts(self) -> list[CountsJoined]:
        """Return the sums of a shard that is being removed, for :meth:`join_counts` of another."""
        return closing.counts(self._shard)

    async def join_counts(self, counts: list[CountsJoined]) -> None:
        """Add the sums of a shard that is being removed to this one's."""
        for joined in counts:
            await self._committer.submit_bounded(joined)

    async def n_rewards_waiting(self) -> int:
        """Return how many rewards the learner has not stored yet."""
        logs = (tenant.loop.rewards for tenant in self._shard.tenants.values())
        return sum(log.next - log.first for log in logs)

    async def holdings(self) -> Plain:
        """Return the partitions that are at home here, see :meth:`actors.shard.moving.Moving.holdings`."""
        return plain(self._moving.holdings())

    # -- stopping ------------------------------------------------------------------------------------------------------

    async def finish_sends(self) -> int:
        """Begin no more sends and wait for the answers to those under way, still serving everybody.

        Comes before :meth:`drain` and :meth:`step_down`, which refuse everybody. Returns how many are unknown because
        no answer came within the bound. If neither follows within `HOLD_S` plus the bound, sending resumes. Idempotent.
        """
        within_s = self._settings.delivery.stop_timeout_s
        n_unknown = await self._loop.deliverer.finish(within_s)
        if self._send_again is not None:
            self._send_again.cancel()
        self._send_again = asyncio.get_running_loop().call_later(within_s + HOLD_S, self._go_on_sending)
        return n_unknown

    def _go_on_sending(self) -> None:
        if not self._draining:
            _log.warning("the stop that this shard prepared for did not come: it sends again")
            self._loop.send_again()

    async def drain(self) -> Plain:
        """Refuse new work, finish what waits, export and snapshot: the next start replays nothing. Returns Drained."""
        await self.finish_sends()  # nobody is refused meanwhile
        self._draining = True
        await self._loop.close(0.0)
        await self._committer.settle()
        await self._housekeeping.export()
        await self._housekeeping.snapshot()
        await self._end()
        return plain(Drained(self._housekeeping.snapshot_position))

    async def _end(self) -> None:
        self._direct.close()
        for task in self._tasks:
            task.cancel()
        await self._moving.close()
        await self._courier.close()
        await self._committer.close()
        self._bookkeeper.close()

    async def save(self) -> None:
        """Take a snapshot now, while serving, so that whoever takes over soon has little to replay."""
        await self._housekeeping.snapshot()

    async def step_down(self) -> None:
        """Leave the journal to a successor: it has all that was accepted, and gets nothing more. Idempotent."""
        if not self._draining:
            await self.finish_sends()  # nobody is refused meanwhile
            self._draining = True
            await self._loop.close(0.0)
            await self._committer.settle()
            await self._end()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _strays(self, block: EventBlock) -> bool:
        """Report whether a block has events of a partition that lives elsewhere."""
        return any(self._moving.is_elsewhere(block.tenant, p) for p in np.unique(block.events()["partition"]).tolist())

    async def _accept_letters(self, letters: list[Letter]) -> tuple[str, Sequence[str] | None]:
        return CallStatus.OK, await self._letterbox.take(letters)

    async def _confirm(self, letters: list[tuple[TenantId, Partition, int]]) -> None:
        await self._committer.submit_bounded(LettersConfirmed(letters))

    def _remember(self, position: int, record: Record) -> None:
        if isinstance(record.body, Events):
            self._payloads.remember(position, record.body.block)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            try:
                if isinstance(effect, SendLetter):
                    self._courier.send(effect.letter)
                elif isinstance(effect, UserErased):
                    self._housekeeping.erase()
                else:
                    self._loop.carry_out(effect)
            except Exception as error:
                error.add_note(f"while a {type(effect).__name__} was carried out, of journal position {effect.cause}")
                raise

    async def _resume(self) -> None:
        """Take up again what a crash may have interrupted."""
        self._loop.resume()
        self._moving.resume()
        if self._shards.places.current.version == 0:
            await retry(self._shards.places.refresh, MAP_PAUSES)
        self._courier.begin()
        self._housekeeping.resume()

    async def _tick_forever(self) -> None:
        while True:
            try:
                if self._shard.wants_tick(wall_clock_ms()):
                    await self._committer.submit_bounded(Tick())
                    await asyncio.sleep(0)
                    continue
            except Exception:
                _log.exception("what is due could not be worked out; trying again")
            await asyncio.sleep(TICK_S)


def _name(config: SegmentConfig | CampaignConfig) -> str:
    return config.name


def _die_of(task: asyncio.Task[None]) -> None:
    """End the shard when a task that should not end has failed: without it the shard would silently stand still."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _die(error)


def _die(error: BaseException) -> None:
    """End at once, and recover from what is on disk, after a failed journal or an impossible state."""
    _log.critical("the shard ends itself: %s", error, exc_info=error)
    os._exit(1)
