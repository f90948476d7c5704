"""Do callers' work that grows with a tenant's data in separate processes, bounded, each tenant in its turn.

A shard answers for everybody and a gateway holds everybody's requests, so neither does such work itself: reading a
user's whole history, looking for a decision in every file, lift by day, simulations, exports. See :mod:`.room` for how
to ask for it, :mod:`.lanes` for the bounds, :mod:`actors.fair_queue` for whose turn it is, :mod:`.worker` for the
process.
"""

from __future__ import annotations

from actors.jobs.answers import (
    StoredArmScores,
    StoredAudit,
    StoredBin,
    StoredDecision,
    StoredDelivery,
    read_arm_scores,
    read_audit,
    read_bins,
    read_days,
    read_deliveries,
    read_delivery_counts,
    read_events,
)
from actors.jobs.lanes import LANES, Lane
from actors.jobs.room import Jobs, JobsCount
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

__all__ = [
    "LANES",
    "Analysis",
    "DaysOfLift",
    "DecisionAudit",
    "Deliveries",
    "DeliveryCounts",
    "EngagementByScore",
    "Export",
    "Jobs",
    "JobsCount",
    "Lane",
    "QualityByArm",
    "Simulation",
    "StoredArmScores",
    "StoredAudit",
    "StoredBin",
    "StoredDecision",
    "StoredDelivery",
    "StoredEvents",
    "Task",
    "UserHistory",
    "read_arm_scores",
    "read_audit",
    "read_bins",
    "read_days",
    "read_deliveries",
    "read_delivery_counts",
    "read_events",
]
