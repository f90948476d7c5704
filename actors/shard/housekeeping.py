"""Do a shard's own chores: export, snapshot, trim, compact, and erase users in the warehouse.

Each has its own interval, and one runs at a time. A step that fails is tried again; no answer depends on any of them.
Long work is done by children, so that those who send do not notice it: a snapshot by one forked at that moment
(:mod:`actors.processes.forked`), work on the warehouse by one forked before there was a state
(:mod:`actors.processes.bookkeeper`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from pathlib import Path

from actors.calls.shard_status import CompactionState, RetentionState, SnapshotState
from actors.calls.shards import ShardCalls
from actors.journal import FileJournal
from actors.processes.bookkeeper import Bookkeeper
from actors.processes.forked import Forked, ForkError
from actors.shard import garbage, recovery
from actors.shard.commit import Committer, wall_clock_ms
from actors.snapshots.retention import DAY_S, Retention, expire_training
from actors.snapshots.store import Draft, SnapshotStore
from actors.warehouse import Warehouse
from actors.warehouse.export import Exporter, known_beside
from actors.warehouse.jobs import Compact, Erase, Export, Job, Vacuum, answered, do, encode_job
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId, UserKey
from whisperer.models.store import ArtifactStore
from whisperer.ports import Journal
from whisperer.settings import Settings
from whisperer.shard.machine import Shard
from whisperer.shard.records import ErasureDone, decode_record

CHILD_TIMEOUT_S = 600.0
CHILDREN_TO_LOSE = 2
"""In a row; then the next work is done without one, however long that stops the shard."""
REWRITE_TIMEOUT_S = 600.0
COMMITS_TO_FOLD = 500
ERASE_TOGETHER_S = 1.0
ERASE_AGAIN_S, ERASE_AGAIN_AT_MOST_S = 5.0, 300.0

_log = logging.getLogger("whisperer.shard")


class Housekeeping:
    """Run a shard's chores. Use from one event loop."""

    def __init__(
        self,
        shard: Shard,
        journal: Journal,
        committer: Committer,
        exporter: Exporter,
        snapshots: SnapshotStore,
        settings: Settings,
        warehouse: Warehouse,
        shards: ShardCalls,
        bookkeeper: Bookkeeper,
        models: ArtifactStore | None,
        training: Path,
    ) -> None:
        self._shard = shard
        self._journal = journal
        self._committer = committer
        self._exporter = exporter
        self._snapshots = snapshots
        self._settings = settings
        self._warehouse = warehouse
        self._shards = shards
        self._bookkeeper = bookkeeper
        self._models = models
        self._training = training
        self._erasing = asyncio.Event()
        """Set when there may be somebody to remove from the warehouse."""
        self._busy = asyncio.Lock()
        self._snapshot_at = time.monotonic()
        self._retention = Retention(settings.snapshots.retention_days)
        self._oldest_record_at: int | None = None
        self._n_children_lost = self._n_jobs_lost = 0
        self.snapshot_position = -1
        self.exported_to: int | None = None
        """Position up to which the warehouse is known to have everything; None before the first export."""
        self.compaction = CompactionState()
        self.last_snapshot = SnapshotState(taken=0, at=None)

    @property
    def n_erasures_waiting(self) -> int:
        """Erased users who may still be in the warehouse."""
        return sum(len(tenant.erasing) for tenant in self._shard.tenants.values())

    @property
    def oldest_erasure_at(self) -> int | None:
        """When the first of them began to wait, ms UTC."""
        return min((at for tenant in self._shard.tenants.values() for at in tenant.erasing.values()), default=None)

    def retention(self) -> RetentionState:
        """Return the age in seconds of the oldest bytes this shard keeps; None for none, or where it is not known.

        What was erased before the older of the two is no longer on the disk, once no erasure waits either.
        """
        now = wall_clock_ms()
        return RetentionState(
            promised_days=self._retention.days,
            journal_age_s=_age_s(self._oldest_record_at, now),
            snapshots_age_s=_age_s(self._snapshots.oldest_at, now),
            erasure_age_s=_age_s(self.oldest_erasure_at, now),
        )

    def erase(self) -> None:
        """Have the users whom the shard is erasing removed from the warehouse soon."""
        self._erasing.set()

    @property
    def _maintainer(self) -> int:
        """The one shard that replaces warehouse files, those of all shards: two would use the same numbers.

        Raises UnavailableError before the map is known.
        """
        if self._shards.places.current.version == 0:
            raise UnavailableError("the map of shards is not known yet", retry_after_s=1.0)
        return min(self._shards.places.current.shards)

    def resume(self) -> None:
        """Go on with erasures that a crash interrupted."""
        self.erase()

    async def run(self) -> None:
        """Do the chores until cancelled."""
        await asyncio.gather(self._erase_forever(), self._keep_house_forever())

    async def export(self) -> None:
        """Close the open segment and export everything to the warehouse."""
        async with self._busy:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._committer.thread, self._journal.roll)
            await self._committer.settle()  # the masks and rows of everything in closed segments are known
            if isinstance(self._journal, FileJournal):
                for first, last in await asyncio.to_thread(self._exporter.waiting):
                    known = await known_beside(self._shard, first, last)
                    self._exporter.n_rows += await self._do(Export(str(self._journal.folder), first, last, known))
            else:  # only this process asks the journal's server
                await asyncio.to_thread(self._exporter.export)
            self.exported_to = await asyncio.to_thread(self._exporter.exported)
            self._shard.forget_exported(self.exported_to)

    async def compact(self) -> None:
        """Merge small files of the warehouse, one date at a time; :attr:`compaction` shows the progress."""
        section = self._settings.warehouse
        at_least, below_bytes = max(2, section.compact_files), section.compact_below_bytes
        places = await asyncio.to_thread(self._warehouse.scattered, at_least=at_least, below_bytes=below_bytes)
        for n_done, (tenant, date) in enumerate(places):
            self.compaction.dates_waiting = len(places) - n_done
            async with self._busy:
                self.compaction.files_merged += await self._do(Compact(tenant, date, at_least, below_bytes))
        if await asyncio.to_thread(self._warehouse.n_commits) >= COMMITS_TO_FOLD:
            async with self._busy:
                await self._do(Vacuum())
        self.compaction.dates_waiting = 0
        self.compaction.at = int(time.time())

    async def rewrite_without(self, tenant: TenantId, erased: dict[UserKey, int]) -> int:
        """Remove these users (key -> ms UTC), of whatever shard, from the warehouse's files; return their number of
        rows.
        """
        async with self._busy:
            return await self._do(Erase(tenant, erased))

    async def snapshot(self) -> None:
        """Save the current state, and trim the journal as far as it is no longer needed."""
        async with self._busy:
            began = time.monotonic()
            draft = await asyncio.to_thread(self._snapshots.draft)
            try:
                position = await self._write(draft)
                meta = {"shard": self._shard.id}
                epoch = self._journal.epoch
                saved = await asyncio.to_thread(draft.publish, meta, lsn=position, epoch=epoch)
            finally:
                draft.abandon()
            self._snapshot_at, self.snapshot_position = time.monotonic(), position
            last = self.last_snapshot
            last.taken, last.at, last.seconds = last.taken + 1, time.time(), round(time.monotonic() - began, 3)
            last.bytes, last.chunks, last.new_chunks = saved.n_bytes, saved.n_chunks, saved.n_new
            safe = await asyncio.to_thread(self._snapshots.prune, self._settings.snapshots.keep)
            before = min(position if safe is None else safe, await asyncio.to_thread(self._exporter.exported))
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._committer.thread, self._journal.trim, before)
            self._oldest_record_at = await asyncio.to_thread(self._oldest_record)

    def _expire(self, before: float) -> None:
        """Delete training rows once they are as old as erased data may become."""
        n_files = expire_training(self._training, before)
        n_files += self._models.expire(before) if self._models is not None else 0
        if n_files:
            _log.info(
                "%d files with rows that models were trained or tested on are over age, and were deleted", n_files
            )

    def _oldest_record(self) -> int | None:
        """Return when the oldest record of the journal was written, ms UTC."""
        oldest = self._journal.oldest
        data = self._journal.read(oldest) if oldest < self._journal.end else None
        return None if data is None else decode_record(data).now

    async def _do(self, job: Job) -> int:
        """Have the bookkeeper do a job, or a thread of this process when the child was lost again and again.

        A job may be interrupted at any point, and is then repeated. Raises UnavailableError, ForkError, JobFailedError.
        """
        if self._n_jobs_lost >= CHILDREN_TO_LOSE:
            self._n_jobs_lost = 0
            return await asyncio.to_thread(do, self._warehouse, job)
        try:
            answer = await self._bookkeeper.ask(encode_job(job), CHILD_TIMEOUT_S)
        except ForkError:
            self._n_jobs_lost += 1
            raise
        self._n_jobs_lost = 0
        return answered(answer)

    async def _write(self, draft: Draft) -> int:
        """Write the state into the draft, in a child or, if none can, in this process; return the position it is of."""
        if self._n_children_lost < CHILDREN_TO_LOSE:
            try:
                async with self._committer.held():
                    position = self._committer.applied_end
                    child = Forked.start(lambda: draft.write(recovery.parts(self._shard)), [draft.fd])
                await child.wait(CHILD_TIMEOUT_S)
            except ForkError:
                self._n_children_lost += 1
                raise
            self._n_children_lost = 0
            self._paused(child.pause_s)
            return position
        _log.warning("%d children were lost: this snapshot is taken without one", self._n_children_lost)
        self._n_children_lost = 0
        position, began = self._committer.applied_end, time.monotonic()
        tables = recovery.capture(self._shard)
        self._paused(time.monotonic() - began)
        await asyncio.to_thread(draft.write, tables.items())
        return position

    def _paused(self, seconds: float) -> None:
        """Note how long a snapshot that is not complete yet stopped the shard."""
        last = self.last_snapshot
        self.last_snapshot = SnapshotState(taken=last.taken, at=last.at, pause_ms=round(seconds * 1000, 2))

    async def _erase_forever(self) -> None:
        again_s = ERASE_AGAIN_S
        while True:
            await self._erasing.wait()
            self._erasing.clear()
            await asyncio.sleep(ERASE_TOGETHER_S)  # one rewrite for many
            erasing = {tenant.id: dict(tenant.erasing) for tenant in self._shard.tenants.values() if tenant.erasing}
            try:
                await self._erase(erasing)
                again_s = ERASE_AGAIN_S
            except Exception as error:
                n_users = sum(map(len, erasing.values()))
                _log.warning(
                    "%d erased users may still be in the warehouse; trying again in %g s: %s",
                    n_users, again_s, error, exc_info=not isinstance(error, UnavailableError),
                )  # fmt: skip
                await asyncio.sleep(again_s)
                again_s = min(2 * again_s, ERASE_AGAIN_AT_MOST_S)
                self._erasing.set()

    async def _erase(self, erasing: dict[TenantId, dict[UserKey, int]]) -> None:
        """Remove users (by tenant, user key -> ms UTC) from the warehouse for good.

        Their partitions may have been at home at any shard, which knows nothing of the erasure: so all of them export
        what they have before the files are rewritten. What comes later is marked by the shard that applies it, and not
        exported by whoever holds it. Raises UnavailableError where a shard is away; what could be reached is gone all
        the same, and the erasure is not over.
        """
        if not erasing:
            return
        await self._shards.places.refresh()  # a shard that an older map does not name may have rows too
        others = [shard for shard in self._shards.places.current.shards if shard != self._shard.id]
        flushed = await asyncio.gather(
            self.export(),
            *(self._shards.call(shard, "flush", timeout_s=REWRITE_TIMEOUT_S) for shard in others),
            return_exceptions=True,
        )
        for tenant, erased in erasing.items():
            await self._shards.call(self._maintainer, "rewrite_without", tenant, erased, timeout_s=REWRITE_TIMEOUT_S)
        for failed in flushed:
            if isinstance(failed, BaseException):
                raise failed
        for tenant, erased in erasing.items():
            await asyncio.gather(*(self._committer.submit(ErasureDone(tenant, k, at)) for k, at in erased.items()))

    async def _keep_house_forever(self) -> None:
        exported_at = compacted_at = set_aside_at = time.monotonic()
        expired_at = -math.inf
        compact_every_s = self._settings.warehouse.compact_interval_s
        while True:
            await asyncio.sleep(1.0)
            try:
                now = time.monotonic()
                if now - set_aside_at >= garbage.EVERY_S:
                    set_aside_at = now
                    garbage.set_aside()
                if now - exported_at >= min(self._settings.warehouse.flush_interval_s, self._retention.renew_s):
                    exported_at = now
                    await self.export()
                since = now - self._snapshot_at
                changed = self._committer.applied_end != self.snapshot_position
                # An idle shard renews its snapshots too, so that nothing erased survives in an old one.
                if (since >= self._settings.snapshots.interval_s and changed) or since >= self._retention.renew_s:
                    await self.snapshot()
                if compact_every_s and now - compacted_at >= compact_every_s and self._shard.id == self._maintainer:
                    compacted_at = now
                    await self.compact()
                if now - expired_at >= self._retention.renew_s:
                    expired_at = now
                    await asyncio.to_thread(self._expire, time.time() - self._retention.days * DAY_S)
            except UnavailableError as error:
                _log.info("housekeeping waits: %s", error)
            except Exception:
                _log.exception("housekeeping failed; trying again")


def _age_s(at: int | None, now: int) -> float | None:
    return None if at is None else max(0, now - at) / 1000
