"""Simulations of this process: started one at a time, a few waiting, each in a process of its own; records for anyone.

Records lie beside the warehouse (``simulations/<tenant>/<campaign>/<id>.json``), so every gateway of the installation
can answer for every simulation; the newest :data:`KEPT` of a campaign are kept. A record that nobody has written for
:data:`SILENT_S` is of a process that died.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable

from actors.blobs import BlobFolder
from actors.simulation_record import (
    DONE,
    FAILED,
    RUNNING,
    TIME_LIMIT_S,
    Record,
    Task,
    decode_record,
    encode_record,
    encode_task,
    first_record,
)
from whisperer.errors import NotFoundError, OverloadError
from whisperer.ids import new_id
from whisperer.journeys.limits import NAME_PATTERN
from whisperer.simulation.plan import Plan

FOLDER = "simulations"
KEPT = 10
MOST_WAITING = 4
SILENT_S = 60.0

_NAME = re.compile(NAME_PATTERN)

_log = logging.getLogger(__name__)


async def run_process(task: Task) -> None:
    """Carry a task out in a process of its own, and see that it ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "actors.simulating", stdin=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.wait_for(process.communicate(encode_task(task)), TIME_LIMIT_S + 10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


class Simulations:
    """Use from one event loop.

    Parameters
    ----------
    warehouse : URI
    run : carries a task out
    models, spool : URI of the store of models, and a folder for what is fetched from it
    """

    def __init__(
        self,
        warehouse: str,
        run: Callable[[Task], Awaitable[None]] = run_process,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        models: str = "",
        spool: str = "",
    ) -> None:
        self._uri = warehouse
        self._folder = BlobFolder(warehouse)
        self._run = run
        self._clock = clock
        self._models, self._spool = models, spool
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, plan: Plan, policies: bytes = b"", digest: str = "") -> Record:
        """Start one, or put it in line. Raises OverloadError where too many wait.

        ``digest``: of the model that the plan's policy names.
        """
        if len(self._tasks) > MOST_WAITING:
            raise OverloadError("simulations are waiting already; try again when one is done", retry_after_s=30.0)
        id, now = new_id("sim"), self._clock()
        place = f"{FOLDER}/{plan.tenant}/{plan.name}/{id}.json"
        models = {"store": self._models, "spool": self._spool, "digest": digest}
        task = Task(id, place, self._uri, plan, policies, now, **models)
        record = first_record(task)
        await asyncio.to_thread(self._folder.put, place, encode_record(record))
        begun = asyncio.ensure_future(self._carried_out(task))
        self._tasks.add(begun)
        begun.add_done_callback(self._tasks.discard)
        return record

    async def show(self, tenant: str, campaign: str, id: str) -> Record:
        """Raises NotFoundError (`simulation_not_found`)."""
        for name in await asyncio.to_thread(self._names, tenant, campaign):
            if name.endswith(f"/{id}.json"):
                with contextlib.suppress(FileNotFoundError):
                    return await asyncio.to_thread(self._read, name)
        raise NotFoundError(f"{campaign} has no simulation {id[:80]!r}", code="simulation_not_found")

    async def records(self, tenant: str, campaign: str) -> list[Record]:
        """Newest first."""
        found = []
        for name in reversed(await asyncio.to_thread(self._names, tenant, campaign)):
            with contextlib.suppress(FileNotFoundError):
                found.append(await asyncio.to_thread(self._read, name))
        return found

    async def newest(self, tenant: str, campaign: str) -> Record | None:
        """The newest that is done; while none is, the newest."""
        first = None
        for name in reversed(await asyncio.to_thread(self._names, tenant, campaign)):
            with contextlib.suppress(FileNotFoundError):
                record = await asyncio.to_thread(self._read, name)
                if record.status == DONE:
                    return record
                first = first or record
        return first

    async def settled(self) -> None:
        """Until nothing runs or waits here."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _carried_out(self, task: Task) -> None:
        async with self._one_at_a_time:
            try:
                await self._run(task)
            except Exception:
                _log.exception("simulation %s could not be carried out", task.id)
            await asyncio.to_thread(self._close, task)

    def _close(self, task: Task) -> None:
        record = self._read(task.place)
        if record.status == RUNNING:
            record.status, record.error = FAILED, "its process ended early"
            self._folder.put(task.place, encode_record(record))
        for name in self._names(task.plan.tenant, task.plan.name)[:-KEPT]:
            self._folder.delete(name)

    def _names(self, tenant: str, campaign: str) -> list[str]:
        """Oldest first: ids sort by time. The name of no campaign has none, wherever as a path it would lead."""
        if not _NAME.fullmatch(campaign):
            return []
        return self._folder.names(f"{FOLDER}/{tenant}/{campaign}")

    def _read(self, name: str) -> Record:
        record = decode_record(self._folder.get(name))
        patience_s = SILENT_S if record.n_events else MOST_WAITING * TIME_LIMIT_S  # it may be in line
        if record.status == RUNNING and self._clock() - record.updated_at > 1000 * patience_s:
            record.status, record.error = FAILED, "nothing was heard of it"
        return record
