"""Report decisions to the warehouse: rows that the shard writes while it applies records.

Rows are kept by journal position, so that a range of the journal always has the same rows, and forgotten once the
warehouse has them. They are part of the shard's state: replay makes them again and a snapshot carries those not yet
exported, so a crash between applying and exporting loses none.

Rules for writing rows:

- One :class:`DecisionRow` per candidacy: when its choice took hold, or when it was refused before it had one.
- One :class:`DeliveryRow` per attempt; a refusal after the choice is one as well, with status ``refused``.
- One :class:`OutcomeRow` per outcome, conversions included; one :class:`RewardRow` per revision of the reward.
- ``user_key`` is the key at that moment: rows are never rewritten after a merge.

The wire form is msgpack arrays: fields are only ever added at the end, with a default (a golden file pins this). Leaves
columns and files to :mod:`actors.warehouse`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whisperer.content.generation.record import MAX_BYTES
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import Receipt
from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.feedback.outcome import Reward
from whisperer.ids import DecisionId, Partition, SendKey, TenantId, UserKey
from whisperer.journeys.engagement import Decision, OutcomeEntry


class DecisionRow(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Report one candidacy.

    Attributes
    ----------
    at, chosen_at : ms UTC, when it was considered and when the choice took hold (-1: refused before one)
    arm : the arm chosen, "" if refused before a choice; propensity, propensities, means, spreads, seed and
        policy_version then have no meaning
    features : raw values in the order of :data:`whisperer.decisions.context.NAMES`, NaN where absent; rows from before
        2026-11-24 have (name, value) instead. :func:`named` reads both
    refused_arms : arm -> why it was not eligible
    reason : why it was refused before a choice, a value of :class:`whisperer.vocabulary.reasons.Reason`, else ""
    scores, shadow, shadow_version : as in :class:`whisperer.decisions.decision.Choice`
    """

    tenant: TenantId
    decision_id: DecisionId
    user_key: UserKey
    partition: Partition
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str
    at: int
    chosen_at: int
    group: str
    arm: str
    propensity: float
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int
    policy_version: str
    features: Sequence[float | tuple[str, float]]
    refused_arms: dict[str, str]
    reason: str = ""
    scores: list[float] = []
    shadow: list[float] = []
    shadow_version: str = ""


class DeliveryRow(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Report one attempt to deliver a decision's message.

    Attributes
    ----------
    attempt : 0 for the first
    status : of the receipt, see :mod:`whisperer.delivery.dispatch`
    reason : value of :class:`whisperer.vocabulary.reasons.Reason` where this ended the decision unsent, else ""
    provenance : of its words, JSON of :class:`whisperer.content.generation.record.Provenance`, "" for nothing to say
    """

    tenant: TenantId
    decision_id: DecisionId
    send_key: SendKey
    user_key: UserKey
    partition: Partition
    campaign: str
    channel: str
    attempt: int
    status: str
    provider: str
    provider_id: str
    detail: str
    content_hash: str
    locale: str
    at: int
    reason: str = ""
    provenance: str = ""


class OutcomeRow(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Report one outcome; ``kind`` and ``detail`` as in :class:`whisperer.journeys.engagement.OutcomeEntry`."""

    tenant: TenantId
    decision_id: DecisionId
    user_key: UserKey
    partition: Partition
    campaign: str
    kind: str
    detail: str
    value_micros: int
    at: int


class RewardRow(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Report a decision's reward as known at ``at`` (ms UTC); a higher ``revision`` replaces the lower ones."""

    tenant: TenantId
    decision_id: DecisionId
    user_key: UserKey
    partition: Partition
    campaign: str
    campaign_version: int
    group: str
    arm: str
    propensity: float
    reward_micros: int
    revision: int
    mature: bool
    at: int


LogRow = DecisionRow | DeliveryRow | OutcomeRow | RewardRow

Log = dict[int, list[LogRow]]
"""Journal position of the record -> its rows, in the order they were made."""


def decision_row(
    tenant: TenantId, user_key: UserKey, partition: Partition, decision: Decision, choice: Choice | None = None
) -> DecisionRow:
    """Return the row of a candidacy that has its choice, or was refused before one.

    ``choice``: the decision's, decoded; None to decode it here.
    """
    if choice is None and decision.choice:
        choice = _decode_choice(decision.choice)
    return DecisionRow(
        tenant=tenant,
        decision_id=decision.id,
        user_key=user_key,
        partition=partition,
        campaign=decision.campaign,
        campaign_version=decision.campaign_version,
        trigger=decision.trigger,
        occurrence=decision.occurrence,
        at=decision.at,
        chosen_at=-1 if choice is None else decision.chosen_at,
        group=decision.group,
        arm="" if choice is None else choice.arm,
        propensity=0.0 if choice is None else choice.propensity,
        arms=decision.arms if choice is None else choice.arms,
        propensities=[] if choice is None else choice.propensities,
        means=[] if choice is None else choice.means,
        spreads=[] if choice is None else choice.spreads,
        seed=0 if choice is None else choice.seed,
        policy_version="" if choice is None else choice.policy_version,
        features=decision.features,  # never changed later, and a copy with names was most of the row's cost
        refused_arms=decision.refused_arms,
        reason=decision.reason if choice is None else "",
        scores=[] if choice is None else choice.scores,
        shadow=[] if choice is None else choice.shadow,
        shadow_version="" if choice is None else choice.shadow_version,
    )


def named(features: Sequence[float | tuple[str, float]]) -> list[tuple[str, float]]:
    """Return a row's features as (name, value); a row made before a name was added has fewer."""
    return [value if isinstance(value, tuple) else (name, value) for name, value in zip(NAMES, features, strict=False)]


def delivery_row(
    tenant: TenantId,
    user_key: UserKey,
    partition: Partition,
    decision: Decision,
    receipt: Receipt,
    *,
    channel: str,
    attempt: int,
    at: int,
    reason: str = "",
) -> DeliveryRow:
    """Return the row of an attempt, or of a refusal after the choice (with a made-up receipt, status ``refused``)."""
    return DeliveryRow(
        tenant=tenant,
        decision_id=decision.id,
        send_key=receipt.send_key,
        user_key=user_key,
        partition=partition,
        campaign=decision.campaign,
        channel=channel,
        attempt=attempt,
        status=receipt.status,
        provider=receipt.provider,
        provider_id=receipt.provider_id,
        detail=receipt.detail,
        content_hash=receipt.content_hash,
        locale=receipt.locale,
        at=at,
        reason=reason,
        provenance=receipt.provenance[:MAX_BYTES].decode("utf-8", "replace"),
    )


def outcome_row(
    tenant: TenantId, user_key: UserKey, partition: Partition, decision: Decision, outcome: OutcomeEntry
) -> OutcomeRow:
    """Return the row of one outcome of a decision."""
    return OutcomeRow(
        tenant=tenant,
        decision_id=decision.id,
        user_key=user_key,
        partition=partition,
        campaign=decision.campaign,
        kind=outcome.kind,
        detail=outcome.detail,
        value_micros=outcome.value_micros,
        at=outcome.at,
    )


def reward_row(tenant: TenantId, user_key: UserKey, partition: Partition, reward: Reward) -> RewardRow:
    """Return the row of one revision of a reward."""
    return RewardRow(
        tenant=tenant,
        decision_id=reward.decision_id,
        user_key=user_key,
        partition=partition,
        campaign=reward.campaign,
        campaign_version=reward.campaign_version,
        group=reward.group,
        arm=reward.arm,
        propensity=reward.propensity,
        reward_micros=reward.reward_micros,
        revision=reward.revision,
        mature=reward.mature,
        at=reward.at,
    )


def forget(log: Log, before: int) -> None:
    """Forget rows before a journal position: the warehouse has them."""
    for position in [p for p in log if p < before]:
        del log[position]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, list[LogRow]]]).decode
_decode_choice = msgspec.msgpack.Decoder(Choice).decode


def encode_log(log: Log) -> bytes:
    """Encode a log for a snapshot; :func:`decode_log` reads it."""
    return _encode(list(log.items()))


def decode_log(data: bytes) -> Log:
    """Decode a log from :func:`encode_log`; b"" is an empty one. Raises JournalDamagedError for other bytes."""
    try:
        return dict(_decode(data)) if data else {}
    except UNREADABLE as error:
        raise JournalDamagedError(f"the decision log of a snapshot cannot be read: {error}") from error
