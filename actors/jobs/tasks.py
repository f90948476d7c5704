"""Define what can be asked for, as values: a gateway that asks loads only this. :mod:`.carrying_out` does it.

Each task says what pieces of bytes its answer consists of, one after another.
"""

from __future__ import annotations

import msgspec

from actors.calls.shard_tail import ShardTail
from actors.exports.record import Task as ExportTask
from actors.simulation.record import Task as SimulationTask
from whisperer.analytics.questions import Question
from whisperer.delivery.listing import DeliveryQuery
from whisperer.ids import DecisionId, TenantId, UserKey


class UserHistory(msgspec.Struct, tag="history", array_like=True, frozen=True):
    """Every stored event of these keys as it was sent, oldest first, and all rows of their decisions and what followed.

    Those rows are of decisions, deliveries, outcomes and rewards; all are members of a JSON object, without its braces,
    in pieces of about 64 KB.
    """

    warehouse: str
    tenant: TenantId
    keys: list[UserKey]


class DecisionAudit(msgspec.Struct, tag="decision", array_like=True, frozen=True):
    """:class:`actors.warehouse.Audit` of one decision, in MessagePack; null if there is none."""

    warehouse: str
    tenant: TenantId
    decision_id: DecisionId


class StoredEvents(msgspec.Struct, tag="events", array_like=True, frozen=True):
    """The events at these (lsn, index) of a shard's journal, in the order asked, in MessagePack.

    Each is ``[message_id, received_at, payload]``, or null if there is no such row.
    """

    warehouse: str
    tenant: TenantId
    shard: int
    positions: list[tuple[int, int]]


class DaysOfLift(msgspec.Struct, tag="lift", array_like=True, frozen=True):
    """:func:`actors.warehouse.lift_days.closed_by_day` of a campaign (its definition as JSON), in MessagePack.

    ``[[[day, group, *tally], ...], conflicted]``, with the tally's integers as text because they are unbounded.
    """

    warehouse: str
    tenant: TenantId
    campaign: str
    until: int


class Deliveries(msgspec.Struct, tag="deliveries", array_like=True, frozen=True):
    """A page of :class:`whisperer.delivery.listing.DeliveryEntry`, in MessagePack."""

    warehouse: str
    tenant: TenantId
    query: DeliveryQuery


class DeliveryCounts(msgspec.Struct, tag="delivery_counts", array_like=True, frozen=True):
    """A list of :class:`whisperer.delivery.listing.DeliveryCount`, in MessagePack: latest attempt in [since, until)."""

    warehouse: str
    tenant: TenantId
    since: int
    until: int


class QualityByArm(msgspec.Struct, tag="quality_by_arm", array_like=True, frozen=True):
    """A list of :class:`actors.warehouse.engagement.ArmScores` of one campaign, of messages from ``since`` on."""

    warehouse: str
    tenant: TenantId
    campaign: str
    since: int


class EngagementByScore(msgspec.Struct, tag="engagement", array_like=True, frozen=True):
    """A list of :class:`actors.warehouse.engagement.ScoredBin`, of messages from ``since`` on."""

    warehouse: str
    tenant: TenantId
    since: int


class Simulation(msgspec.Struct, tag="simulation", array_like=True, frozen=True):
    """A simulation, which writes its own record; no pieces."""

    task: SimulationTask

    @property
    def tenant(self) -> TenantId:
        return self.task.plan.tenant


class Export(msgspec.Struct, tag="export", array_like=True, frozen=True):
    """An export, which writes its own file; pieces are :class:`actors.exports.record.Progress`, in MessagePack."""

    task: ExportTask

    @property
    def tenant(self) -> TenantId:
        return self.task.tenant


class Analysis(msgspec.Struct, tag="analysis", array_like=True, frozen=True):
    """A question about events, as of ``now`` (ms UTC), the newest of which ``tails`` lead to; one piece, JSON."""

    warehouse: str
    tenant: TenantId
    question: Question
    now: int
    tails: list[ShardTail]


Task = (
    Analysis
    | Export
    | UserHistory
    | DecisionAudit
    | StoredEvents
    | DaysOfLift
    | Deliveries
    | DeliveryCounts
    | EngagementByScore
    | QualityByArm
    | Simulation
)

encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Task).decode
