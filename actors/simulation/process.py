"""Carry out a simulation, as a job does it (:mod:`actors.jobs`), in a process of its own.

It writes its progress, and finally its result, to the one blob that is its record: whoever asks, on whatever node,
reads that. Nothing is sent, and no user's id is in the record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.files.blobs import BlobFolder
from actors.simulation.record import Record, RunState, Task, encode_record, first_record
from actors.warehouse import Warehouse
from actors.warehouse.identities import asked_again
from actors.warehouse.tenant_history import Past
from whisperer.decisions import posterior
from whisperer.errors import WhispererError
from whisperer.models.store import ArtifactStore
from whisperer.models.value import open_model
from whisperer.shard.decision.features import FEATURE_HASH
from whisperer.simulation.plan import SimulationPlan, model_of
from whisperer.simulation.result import SimulationResult
from whisperer.simulation.run import Trained, simulate
from whisperer.vocabulary.units import DAY_MS

TOLD_EVERY_S = 1.0

_log = logging.getLogger(__name__)


def carry_out(task: Task) -> Record:
    """Simulate, recording the progress; return the last record written."""
    folder, record = BlobFolder(task.warehouse), first_record(task)
    told_at = 0.0

    def tell(n_done: int = 0, *, now: bool = False) -> None:
        nonlocal told_at
        record.n_done = max(n_done, record.n_done)
        if not now and time.monotonic() - told_at < TOLD_EVERY_S:
            return
        record.updated_at = time.time_ns() // 1_000_000
        folder.put(task.place, encode_record(record))
        told_at = time.monotonic()

    tell(now=True)
    try:
        record.result = asked_again(lambda: _simulated(task, record, tell))
        record.status = RunState.DONE
    except WhispererError as error:
        record.status, record.error = RunState.FAILED, error.message
    except Exception as error:
        _log.exception("simulation %s failed", task.id)
        record.status, record.error = RunState.FAILED, f"an error of kind {type(error).__name__}; the log has more"
    tell(now=True)
    return record


def _simulated(task: Task, record: Record, tell: Callable[[int], None]) -> SimulationResult[int]:
    with Past(Warehouse(task.warehouse), task.plan.tenant) as past:
        plan = _dated(task.plan, past)
        extent = past.extent(plan.until)
        share = extent.share(task.most_events)
        record.n_events = round(extent.n_events * share)
        learned = posterior.decode(task.policies) if task.policies else {}
        facts, logs = past.facts(plan), past.logs(plan)
        trained = _model(task)
        return simulate(plan, past.events(plan.until, share), facts, logs, learned, trained, share=share, progress=tell)


def _model(task: Task) -> Trained | None:
    """Open the registered version that the plan names. Raises ArtifactError, NotFoundError, UnavailableError."""
    asked = model_of(task.plan.policy)
    if asked is None:
        return None
    artifact = ArtifactStore(task.store, Path(task.spool)).fetch(task.plan.tenant, *asked, task.digest)
    return Trained(open_model(artifact, FEATURE_HASH), artifact.manifest.data.last)


def _dated(plan: SimulationPlan, past: Past) -> SimulationPlan:
    """Replace open dates with the end of the history."""
    until = plan.until
    if not until:
        last = past.extent().last
        until = 1 + (DAY_MS if last is None else last)
    since = plan.since if plan.since >= 0 else max(0, until + plan.since)
    return msgspec.structs.replace(plan, since=since, until=until)
