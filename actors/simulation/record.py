"""Define what a simulating process is asked, and what is stored of its work: all that a gateway has to load."""

from __future__ import annotations

import msgspec

from whisperer.simulation.plan import MOST_EVENTS, SimulationPlan
from whisperer.simulation.result import SimulationResult
from whisperer.vocabulary.named import Named

TIME_LIMIT_S = 1_200


class RunState(Named):
    """Name where a simulation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Task(msgspec.Struct, array_like=True, frozen=True):
    """What a simulating process is asked.

    Attributes
    ----------
    place : name of the record's blob below ``warehouse``
    plan : negative ``since``: that many ms before its ``until``; ``until`` 0: the end of the history
    store, spool, digest : where models are, and which one is meant if ``plan.policy`` names a version
    policies : the learner's, :func:`whisperer.decisions.posterior.encode`
    """

    id: str
    place: str
    warehouse: str
    plan: SimulationPlan
    policies: bytes
    started_at: int
    most_events: int = MOST_EVENTS
    store: str = ""
    spool: str = ""
    digest: str = ""


class Record(msgspec.Struct, omit_defaults=True):
    """What is stored of a simulation. Times are ms UTC."""

    id: str
    campaign: str
    status: RunState
    started_at: int
    updated_at: int
    n_done: int = 0
    n_events: int = 0
    error: str = ""
    result: SimulationResult[int] | None = None


encode_record, decode_record = msgspec.json.Encoder().encode, msgspec.json.Decoder(Record).decode


def first_record(task: Task) -> Record:
    """Return the record of a simulation that has just begun."""
    return Record(task.id, task.plan.name, RunState.RUNNING, task.started_at, task.started_at)
