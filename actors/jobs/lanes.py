"""Set the bounds of each kind of job, so that what takes milliseconds never waits behind what takes minutes.

They hold per gateway replica: with `n` replicas there are up to `n` times as many processes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from actors.exports.record import TIME_LIMIT_S as EXPORT_TIME_LIMIT_S
from actors.fair_queue import FairQueue
from actors.jobs.tasks import (
    Analysis,
    DaysOfLift,
    DecisionAudit,
    Deliveries,
    DeliveryCounts,
    EngagementByScore,
    Export,
    QualityByArm,
    Simulation,
    StoredEvents,
    Task,
    UserHistory,
)
from actors.simulation.record import TIME_LIMIT_S as SIMULATION_TIME_LIMIT_S

MEMORY_BYTES = 768 << 20
"""A process with its code and DuckDB loaded uses 260 MB of it, and DuckDB may take 256 MB before it spills."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The bounds of one kind of job.

    Attributes
    ----------
    at_once, tenant_at_once, open_, tenant_open : see :class:`FairQueue`
    patience_s : how long a caller waits for a turn before it is refused
    time_limit_s : of one job, from its turn on
    memory_bytes : of a process's data (RLIMIT_DATA)
    kept_s : how long a process without work is kept for the next job
    """

    name: str
    at_once: int
    tenant_at_once: int
    open_: int
    tenant_open: int
    patience_s: float
    time_limit_s: float
    memory_bytes: int = MEMORY_BYTES
    kept_s: float = 60.0

    def queue(self) -> FairQueue:
        """Return a new queue with the lane's bounds."""
        return FairQueue(self.at_once, self.tenant_at_once, self.open_, self.tenant_open)


LOOK_UPS = Lane("look_ups", 2, 1, 64, 16, patience_s=20.0, time_limit_s=20.0)
REPORTS = Lane("reports", 2, 1, 32, 4, patience_s=60.0, time_limit_s=600.0)
SIMULATIONS = Lane(
    "simulations",
    at_once=1,
    tenant_at_once=1,
    open_=16,
    tenant_open=3,
    patience_s=16 * SIMULATION_TIME_LIMIT_S,
    time_limit_s=SIMULATION_TIME_LIMIT_S,
    memory_bytes=3 << 30,
    kept_s=0.0,
)

EXPORTS = Lane(
    "exports",
    at_once=2,
    tenant_at_once=1,
    open_=64,
    tenant_open=11,
    patience_s=64 * EXPORT_TIME_LIMIT_S,
    time_limit_s=EXPORT_TIME_LIMIT_S,
    kept_s=0.0,
)

ANALYTICS = Lane(
    "analytics",
    at_once=2,
    tenant_at_once=1,
    open_=64,
    tenant_open=16,
    patience_s=30.0,
    time_limit_s=60.0,
    memory_bytes=3 << 30,
)
"""DuckDB may take a gigabyte of it, what users did in one piece and the newest events the rest."""

OF_THEIR_OWN_MEMORY = (SIMULATIONS, ANALYTICS)

LANES: dict[type[Task], Lane] = {
    Analysis: ANALYTICS,
    DecisionAudit: LOOK_UPS,
    StoredEvents: LOOK_UPS,
    UserHistory: REPORTS,
    DaysOfLift: REPORTS,
    EngagementByScore: REPORTS,
    QualityByArm: REPORTS,
    Deliveries: LOOK_UPS,
    DeliveryCounts: REPORTS,
    Simulation: SIMULATIONS,
    Export: EXPORTS,
}


def with_memory(bytes_: int) -> dict[type[Task], Lane]:
    """Return the lanes with another memory bound for all except simulations and analytics."""
    return {
        kind: lane if lane in OF_THEIR_OWN_MEMORY else dataclasses.replace(lane, memory_bytes=bytes_)
        for kind, lane in LANES.items()
    }
