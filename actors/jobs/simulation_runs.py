"""Begin simulations as jobs (:mod:`actors.jobs`), each tenant in its turn, and show their records to anyone.

Records are stored next to the warehouse's data (``simulations/<tenant>/<campaign>/<id>.json``), so every gateway of the
installation can answer for every simulation; the newest :data:`KEPT` of a campaign are kept. A record that nobody has
written for :data:`SILENT_S` belongs to a process that died.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable

from actors.fair_queue import Turn
from actors.files.blobs import BlobFolder
from actors.jobs import Jobs, Simulation
from actors.jobs.lanes import SIMULATIONS
from actors.simulation.record import Record, RunState, Task, decode_record, encode_record, first_record
from whisperer.errors import NotFoundError, WhispererError
from whisperer.ids import TenantId, new_id
from whisperer.journeys.limits import NAME_PATTERN
from whisperer.simulation.plan import SimulationPlan

FOLDER = "simulations"
KEPT = 10
SILENT_S = 60.0

_NAME = re.compile(NAME_PATTERN)

_log = logging.getLogger(__name__)


class Simulations:
    """Run simulations from this process. Use from one event loop.

    Parameters
    ----------
    warehouse : URI
    models, spool : URI of the model store, and a folder for what is fetched from it
    """

    def __init__(
        self,
        warehouse: str,
        jobs: Jobs,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        models: str = "",
        spool: str = "",
    ) -> None:
        self._uri = warehouse
        self._folder = BlobFolder(warehouse)
        self._jobs = jobs
        self._clock = clock
        self._models, self._spool = models, spool
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, plan: SimulationPlan, policies: bytes = b"", digest: str = "") -> Record:
        """Start a simulation, or put it in line; ``digest`` is of the model that the plan's policy names.

        Raises TooManyError where too many of the tenant's are open, OverloadError where too many are overall.
        """
        turn = self._jobs.join(Simulation, plan.tenant)
        try:
            return await self._begin(turn, plan, policies, digest)
        except BaseException:
            turn.leave()
            raise

    async def _begin(self, turn: Turn, plan: SimulationPlan, policies: bytes, digest: str) -> Record:
        id, now = new_id("sim"), self._clock()
        place = f"{FOLDER}/{plan.tenant}/{plan.name}/{id}.json"
        task = Task(id, place, self._uri, plan, policies, now, store=self._models, spool=self._spool, digest=digest)
        record = first_record(task)
        await asyncio.to_thread(self._folder.put, place, encode_record(record))
        begun = asyncio.ensure_future(self._carried_out(task, turn))
        self._tasks.add(begun)
        begun.add_done_callback(self._tasks.discard)
        return record

    async def show(self, tenant: TenantId, campaign: str, id: str) -> Record:
        """Return one record. Raises NotFoundError (`simulation_not_found`)."""
        for name in await asyncio.to_thread(self._names, tenant, campaign):
            if name.endswith(f"/{id}.json"):
                with contextlib.suppress(FileNotFoundError):
                    return await asyncio.to_thread(self._read, name)
        raise NotFoundError(f"{campaign} has no simulation {id[:80]!r}", code="simulation_not_found")

    async def records(self, tenant: TenantId, campaign: str) -> list[Record]:
        """Return a campaign's records, newest first."""
        found = []
        for name in reversed(await asyncio.to_thread(self._names, tenant, campaign)):
            with contextlib.suppress(FileNotFoundError):
                found.append(await asyncio.to_thread(self._read, name))
        return found

    async def newest(self, tenant: TenantId, campaign: str) -> Record | None:
        """Return the newest record that is done; while none is, the newest."""
        first = None
        for name in reversed(await asyncio.to_thread(self._names, tenant, campaign)):
            with contextlib.suppress(FileNotFoundError):
                record = await asyncio.to_thread(self._read, name)
                if record.status == RunState.DONE:
                    return record
                first = first or record
        return first

    async def settled(self) -> None:
        """Wait until nothing runs or waits here."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _carried_out(self, task: Task, turn: Turn) -> None:
        error = ""
        try:
            await self._jobs.ask(Simulation(task), turn)
        except WhispererError as failure:
            error = failure.message
        except Exception:
            _log.exception("simulation %s could not be carried out", task.id)
        await asyncio.to_thread(self._close, task, error)

    def _close(self, task: Task, error: str) -> None:
        record = self._read(task.place)
        if record.status == RunState.RUNNING:
            record.status, record.error = RunState.FAILED, error or "its process ended early"
            self._folder.put(task.place, encode_record(record))
        for name in self._names(task.plan.tenant, task.plan.name)[:-KEPT]:
            self._folder.delete(name)

    def _names(self, tenant: TenantId, campaign: str) -> list[str]:
        """Return the records' names, oldest first: ids sort by time.

        What is not a campaign's name has none, wherever it would lead as a path.
        """
        if not _NAME.fullmatch(campaign):
            return []
        return self._folder.names(f"{FOLDER}/{tenant}/{campaign}")

    def _read(self, name: str) -> Record:
        record = decode_record(self._folder.get(name))
        patience_s = SILENT_S if record.n_events else SIMULATIONS.patience_s  # it may be in line
        if record.status == RunState.RUNNING and self._clock() - record.updated_at > 1000 * patience_s:
            record.status, record.error = RunState.FAILED, "nothing was heard of it"
        return record
