"""Begin exports as jobs (:mod:`actors.jobs`), each tenant in its turn, and end them when somebody wants that.

Records and files are in the :mod:`actors.exports.store`, so every gateway of the installation can answer for every
export, end it, and give its file. Guarantees: an export that was begun is done, failed or cancelled in the end, also
where this process is killed; a file counts only once its record is `done`; one that is to end ends within
:data:`LOOK_S` and a moment. Leaves to others what callers may see, and how rows are gathered that no file has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from actors.exports.record import Record, Task, decode_progress
from actors.exports.spool import Spool
from actors.exports.store import MOST_KEPT, ExportStore, place_of
from actors.fair_queue import Turn
from actors.jobs import Export, Jobs
from actors.jobs.lanes import EXPORTS
from actors.jobs.process import tidy
from whisperer.errors import ConflictError, TooLargeError, UnavailableError, WhispererError
from whisperer.ids import TenantId
from whisperer.settings import ExportSettings
from whisperer.vocabulary.exports import OPEN, ExportState
from whisperer.vocabulary.units import DAY_MS

LOOK_S = 0.5
"""How often a running export looks whether it is to end."""
BEAT_S = 5.0
"""How often the record of an open one is written at least."""
TIDY_S = 900.0
SHARE_OF_GATHERING = 0.8
"""How much of the work it is to gather rows, where that comes first."""

_log = logging.getLogger(__name__)


class Gathering:
    """What gathers rows, or sees to it that the warehouse has them, before an export's process begins.

    Attributes
    ----------
    spool : for rows that the warehouse does not have
    share : of the gathering, in [0, 1]; None while nobody knows
    """

    def __init__(self, spool: Spool, most_bytes: int, most_rows: int) -> None:
        self.spool = spool
        self.share: float | None = None
        self._most_bytes, self._most_rows = most_bytes, most_rows

    def check(self) -> None:
        """Raise TooLargeError (`export_too_large`) where too much was gathered already."""
        if self.spool.n_rows > self._most_rows or self.spool.n_bytes > self._most_bytes:
            most = f"{self._most_rows:,} rows and {self._most_bytes >> 20:,} MB"
            message = f"an export has {most} at most here; narrow its filter"
            raise TooLargeError(message, code="export_too_large")


Gather = Callable[[Gathering], Awaitable[None]]


class Exports:
    """Run exports from this process. Use from one event loop.

    Parameters
    ----------
    warehouse : URI
    spool : folder for gathered rows
    """

    def __init__(
        self,
        warehouse: str,
        spool: Path,
        jobs: Jobs,
        settings: ExportSettings,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.store = ExportStore(warehouse)
        self._uri = warehouse
        tidy(spool)
        self._spool = spool / str(os.getpid())
        self._jobs = jobs
        self._settings = settings
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(
        self, record: Record, task: Task, gather: Gather, *, is_spooled: bool, entered: Callable[[], Awaitable[None]]
    ) -> Record:
        """Put an export in line, and return its record.

        Parameters
        ----------
        task : without its place, spool and bound of bytes, which are set here
        gather : called when it is the export's turn
        is_spooled : rows come from what was gathered instead of the warehouse
        entered : called once nothing speaks against the export, before it is there

        Raises TooManyError where too many of the tenant's are open, OverloadError where too many are overall,
        ConflictError (`too_many_exports`) where the tenant's kept files leave no room.
        """
        turn = self._jobs.join(Export, record.tenant)
        try:
            most_bytes = await asyncio.to_thread(self._room, record.tenant)
            await entered()
            await asyncio.to_thread(self.store.put, record)
        except BaseException:
            turn.leave()
            raise
        spool = Spool(self._spool / record.id)
        task = replace(task, place=place_of(record), warehouse=self._uri, most_bytes=most_bytes)
        task = replace(task, spool=str(spool.path)) if is_spooled else task
        begun = asyncio.ensure_future(
            self._carried_out(record, task, turn, Gathering(spool, most_bytes, task.most_rows), gather)
        )
        self._tasks.add(begun)
        begun.add_done_callback(self._tasks.discard)
        return replace(record)

    async def show(self, tenant: TenantId, id: str) -> Record:
        """Return one record. Raises NotFoundError (`export_not_found`)."""
        return await asyncio.to_thread(self.store.show, tenant, id, self._clock())

    async def records(self, tenant: TenantId) -> list[Record]:
        """Return a tenant's records, oldest first."""
        return await asyncio.to_thread(self.store.records, tenant, self._clock())

    async def end(self, tenant: TenantId, id: str) -> Record:
        """End an open export; delete one that is not open, with its file. Raises NotFoundError (`export_not_found`)."""
        return await asyncio.to_thread(self._end, tenant, id)

    async def tidy_forever(self) -> None:
        """Delete what is too old, now and then. Runs until cancelled."""
        while True:
            try:
                n_tidied = await asyncio.to_thread(self.store.tidy, self._clock())
                if n_tidied:
                    _log.info("%d exports were tidied up", n_tidied)
            except Exception as error:
                _log.warning("old exports could not be deleted; trying again later: %r", error)
            await asyncio.sleep(TIDY_S)

    async def settled(self) -> None:
        """Wait until nothing runs or waits here."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _end(self, tenant: TenantId, id: str) -> Record:
        record = self.store.show(tenant, id, self._clock())
        if record.state in OPEN:
            self.store.ask_to_end(record)
            record = self.store.show(tenant, id, self._clock())
            if record.state is ExportState.CANCELLED:
                return record
        self.store.remove(record)  # it may have been done in between
        return record

    def _room(self, tenant: TenantId) -> int:
        """Return how many bytes an export of the tenant may have. Raises ConflictError (`too_many_exports`)."""
        records = self.store.records(tenant, self._clock())
        over = len(records) + 1 - MOST_KEPT
        for old in [record for record in records if record.state not in (*OPEN, ExportState.DONE)][: max(0, over)]:
            self.store.remove(old)
            over -= 1
        tenant_bytes = self._settings.tenant_mib << 20
        left = tenant_bytes - sum(record.size_bytes for record in records if record.state is ExportState.DONE)
        if over > 0 or left <= 0:
            raise ConflictError(
                f"{MOST_KEPT} exports, or {tenant_bytes >> 20:,} MB of their files, are kept for you: "
                "delete one that is not needed",
                code="too_many_exports",
            )
        return min(self._settings.most_mib << 20, left)

    async def _carried_out(self, record: Record, task: Task, turn: Turn, gathering: Gathering, gather: Gather) -> None:
        work = asyncio.ensure_future(self._work(record, task, turn, gathering, gather))
        try:
            await self._watched(record, work)
        finally:
            work.cancel()
            await asyncio.wait({work})
            turn.leave()
            await asyncio.to_thread(self._close, record, work)
            await asyncio.to_thread(gathering.spool.remove)

    async def _watched(self, record: Record, work: asyncio.Task[None]) -> None:
        """Write the record while the work goes on, until it is over or somebody wants it to be."""
        written, written_at = replace(record), time.monotonic()
        while not work.done():
            await asyncio.wait({work}, timeout=LOOK_S)
            try:
                if await asyncio.to_thread(self.store.is_to_end, record):
                    return
                passed_s = time.monotonic() - written_at
                is_news = record.state != written.state or (passed_s >= 2 * LOOK_S and record != written)
                if not work.done() and (is_news or passed_s >= BEAT_S):
                    record.updated_at = self._clock()
                    await asyncio.to_thread(self.store.put, record)
                    written, written_at = replace(record), time.monotonic()
            except Exception as error:
                _log.warning("the state of export %s could not be written; trying again: %r", record.id, error)

    async def _work(self, record: Record, task: Task, turn: Turn, gathering: Gathering, gather: Gather) -> None:
        await turn.granted()
        record.state, record.started_at = ExportState.RUNNING, self._clock()
        await asyncio.to_thread(gathering.spool.begin)
        telling = asyncio.ensure_future(_told(record, gathering))
        try:
            async with asyncio.timeout(EXPORTS.time_limit_s):
                await gather(gathering)
        except TimeoutError:
            raise UnavailableError(
                f"its rows were not gathered within {EXPORTS.time_limit_s:g} s: narrow its filter", code="job_too_slow"
            ) from None
        finally:
            telling.cancel()
        before = SHARE_OF_GATHERING if task.spool else 0.0
        async with contextlib.aclosing(self._jobs.stream(Export(task), turn)) as pieces:
            async for piece in pieces:
                progress = decode_progress(piece)
                record.n_rows, record.share = progress.n_rows, before + (1 - before) * progress.share
                record.size_bytes, record.sha256 = progress.size_bytes, progress.sha256

    def _close(self, record: Record, work: asyncio.Task[None]) -> None:
        """Write how it ended."""
        now = self._clock()
        record.updated_at = record.finished_at = now
        record.state, record.error = _ending(record, work)
        if work.cancelled() and not self.store.is_to_end(record):
            record.state, record.error = ExportState.FAILED, "its gateway stopped; begin it again"
        if record.state is ExportState.DONE and not self.store.folder.has(place_of(record)):
            record.state, record.error = ExportState.FAILED, "its file is gone; begin it again"
        if record.state is ExportState.DONE:
            record.share, record.expires_at = 1.0, now + round(self._settings.keep_days * DAY_MS)
            self.store.put(record)
            if not self.store.is_to_end(record):
                return
            record.state = ExportState.CANCELLED
        record.size_bytes, record.sha256, record.expires_at = 0, "", None
        # The record first: while it is open, word that it is to end counts.
        self.store.put(record)
        self.store.drop_file(record)


def _ending(record: Record, work: asyncio.Task[None]) -> tuple[ExportState, str]:
    if work.cancelled():
        return ExportState.CANCELLED, ""
    error = work.exception()
    if error is None:
        return (ExportState.DONE, "") if record.sha256 else (ExportState.FAILED, "its process ended early")
    if isinstance(error, WhispererError):
        return ExportState.FAILED, error.message
    _log.error("export %s could not be carried out", record.id, exc_info=error)
    return ExportState.FAILED, f"an error of kind {type(error).__name__}; the log has more"


async def _told(record: Record, gathering: Gathering) -> None:
    """Say in the record how far the gathering is."""
    while True:
        record.n_rows = gathering.spool.n_rows
        if gathering.share is not None:
            record.share = SHARE_OF_GATHERING * gathering.share
        await asyncio.sleep(LOOK_S)
