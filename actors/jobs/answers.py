"""Decode what jobs answer (:mod:`.tasks`): all that a gateway has to load of it."""

from __future__ import annotations

import msgspec

from whisperer.delivery.listing import DeliveryCount, DeliveryEntry
from whisperer.evaluation.lift import GroupTally
from whisperer.ids import DecisionId, SendKey, UserKey
from whisperer.shard.views.user import EventView


class StoredDecision(msgspec.Struct, kw_only=True):
    """A decision as the warehouse has it: :class:`whisperer.shard.state.log.DecisionRow`, null where there is nothing.

    ``features``: also null where the user was erased.
    """

    decision_id: DecisionId
    user_key: UserKey
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str | None
    at: int
    chosen_at: int | None
    group: str | None
    arm: str | None
    propensity: float | None
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int | None
    policy_version: str | None
    features: dict[str, float | None] | None
    refused_arms: dict[str, str] | None
    reason: str | None
    scores: list[float | None] | None
    shadow: list[float | None] | None
    shadow_version: str | None


class StoredDelivery(msgspec.Struct, kw_only=True):
    """An attempt, as :class:`whisperer.shard.state.log.DeliveryRow`."""

    send_key: SendKey
    channel: str
    status: str
    provider: str | None
    provider_id: str | None
    detail: str | None
    content_hash: str | None
    locale: str | None
    at: int
    reason: str | None
    provenance: str | None = None


class StoredOutcome(msgspec.Struct):
    """An outcome, as :class:`whisperer.shard.state.log.OutcomeRow`."""

    at: int
    kind: str
    detail: str | None
    value_micros: int


class StoredReward(msgspec.Struct):
    """A reward as known once, as :class:`whisperer.shard.state.log.RewardRow`."""

    revision: int
    mature: bool
    reward_micros: int


class StoredAudit(msgspec.Struct, kw_only=True):
    """All that is stored of one decision, each part in order of time."""

    decision: StoredDecision
    deliveries: list[StoredDelivery]
    outcomes: list[StoredOutcome]
    rewards: list[StoredReward]


class _Event(msgspec.Struct, array_like=True):
    message_id: str
    received_at: int
    payload: bytes


_audit = msgspec.msgpack.Decoder(StoredAudit | None)
_events = msgspec.msgpack.Decoder(list[_Event | None])
_deliveries = msgspec.msgpack.Decoder(list[DeliveryEntry])
_days = msgspec.msgpack.Decoder(tuple[list[tuple[int, str, str, str, str, str]], int])


def read_audit(answer: bytes) -> StoredAudit | None:
    """Return the answer to a :class:`DecisionAudit`."""
    found: StoredAudit | None = _audit.decode(answer)
    return found


def read_deliveries(answer: bytes) -> list[DeliveryEntry]:
    """Return the answer to a :class:`Deliveries`."""
    return _deliveries.decode(answer)


def read_delivery_counts(answer: bytes) -> list[DeliveryCount]:
    """Return the answer to a :class:`DeliveryCounts`."""
    return msgspec.msgpack.decode(answer, type=list[DeliveryCount])


def read_events(answer: bytes) -> list[EventView | None]:
    """Return the answer to a :class:`StoredEvents`, in the order asked."""
    found = _events.decode(answer)
    return [None if one is None else EventView(one.message_id, one.received_at, one.payload) for one in found]


def read_days(answer: bytes) -> tuple[list[tuple[int, str, GroupTally]], int]:
    """Return the answer to a :class:`DaysOfLift`: (day, group, tally) of users whose window closed, and how many users
    were left out."""
    rows, conflicted = _days.decode(answer)
    return [(day, group, GroupTally(*map(int, tally))) for day, group, *tally in rows], conflicted


class StoredArmScores(msgspec.Struct, array_like=True):
    """As :class:`actors.warehouse.engagement.ArmScores`."""

    arm: str
    channel: str
    locale: str
    bins: list[tuple[int, int, float]]
    marked: int
    lacking: dict[str, float]


class StoredBin(msgspec.Struct, array_like=True):
    """As :class:`actors.warehouse.engagement.ScoredBin`."""

    channel: str
    place: int
    sent: int
    engaged: int
    total: float


def read_arm_scores(answer: bytes) -> list[StoredArmScores]:
    """Return what :class:`actors.jobs.tasks.QualityByArm` answers."""
    return msgspec.msgpack.decode(answer, type=list[StoredArmScores])


def read_bins(answer: bytes) -> list[StoredBin]:
    """Return what :class:`actors.jobs.tasks.EngagementByScore` answers."""
    return msgspec.msgpack.decode(answer, type=list[StoredBin])
