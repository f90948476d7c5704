"""Presents a decision and a user's standing to callers: ISO 8601 times, reasons also in words.

Field order is the order of the JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.jobs import StoredAudit, StoredDecision, StoredDelivery
from cluster.times import iso
from whisperer.content.generation.record import GenerationRecord, read
from whisperer.decisions.decision import NO_SEND
from whisperer.decisions.versions import parsed
from whisperer.delivery.dispatch import Verdict
from whisperer.eligibility.standing import Standing
from whisperer.ids import SendKey, UserKey, bare_id
from whisperer.journeys.engagement import DecisionStatus
from whisperer.shard.views.decision import DecisionView, OutcomeView, SendView
from whisperer.vocabulary.reasons import SENTENCES, Reason
from whisperer.vocabulary.units import MICROS

PSEUDONYM = "erased:"
"""The prefix that the warehouse gives the key of an erased user."""


class SendAudit(msgspec.Struct, kw_only=True):
    """A decision's message; ``unknown``: it was handed over, and no answer came.

    ``quality``: its score by the rubric, 0 to 5; ``generation``: what a model was asked for it, what it answered, and
    what was made of it. Both are None where nothing is known.
    """

    send_key: SendKey
    channel: str
    attempts: int
    next_at: str | None
    last_error: str | None
    provider: str | None
    provider_id: str | None
    content_hash: str | None
    locale: str | None
    sent_at: str | None
    unknown: bool
    quality: float | None = None
    generation: GenerationRecord | None = None

    @classmethod
    def of(cls, view: SendView) -> SendAudit:
        """Return the audit of a message."""
        return cls(
            send_key=view.send_key,
            channel=view.channel,
            attempts=view.attempts,
            next_at=iso(view.next_at),
            last_error=view.last_error,
            provider=view.provider,
            provider_id=view.provider_id,
            content_hash=view.content_hash,
            locale=view.locale,
            sent_at=iso(view.sent_at),
            unknown=view.unknown,
            quality=view.quality,
            generation=view.generation,
        )


class OutcomeAudit(msgspec.Struct):
    """What the user did about it."""

    at: str | None
    kind: str
    detail: str | None
    value_micros: int


class Audit(msgspec.Struct, kw_only=True):
    """Everything about one decision, as :class:`whisperer.shard.views.decision.DecisionView`.

    Attributes
    ----------
    user_id : None once the user was erased
    price : what an effect had to be worth per unit of money
    reason_text : ``reason`` in words
    """

    id: str
    user_key: UserKey
    user_id: str | None
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str | None
    at: str | None
    status: str
    reason: str | None
    refused_arms: dict[str, str]
    group: str | None
    features: dict[str, float | None]
    arms: list[str]
    arm: str | None
    chosen_at: str | None
    propensity: float | None
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int | None
    policy_version: str | None
    scores: list[float | None]
    shadow: list[float | None]
    shadow_version: str | None
    template: str | msgspec.UnsetType | None = msgspec.UNSET
    offer: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    send: SendAudit | None
    outcomes: list[OutcomeAudit]
    mature_at: str | msgspec.UnsetType | None = msgspec.UNSET
    matured: bool
    reward_micros: int | None
    reward: float | None
    price: float | None
    reason_text: str | None


def audit(view: DecisionView) -> Audit:
    """Return a shard's or the warehouse's view for callers."""
    decider = parsed(view.policy_version or "")
    return Audit(
        id=view.id,
        user_key=view.user_key,
        user_id=None if view.user_key.startswith(PSEUDONYM) else bare_id(view.user_key),
        campaign=view.campaign,
        campaign_version=view.campaign_version,
        trigger=view.trigger,
        occurrence=view.occurrence,
        at=iso(view.at),
        status=view.status,
        reason=view.reason,
        refused_arms=view.refused_arms,
        group=view.group,
        features=view.features,
        arms=view.arms,
        arm=view.arm,
        chosen_at=iso(view.chosen_at),
        propensity=view.propensity,
        propensities=view.propensities,
        means=view.means,
        spreads=view.spreads,
        seed=view.seed,
        policy_version=view.policy_version,
        scores=view.scores,
        shadow=view.shadow,
        shadow_version=view.shadow_version,
        template=view.template,
        offer=view.offer,
        send=None if view.send is None else SendAudit.of(view.send),
        outcomes=[OutcomeAudit(iso(one.at), one.kind, one.detail, one.value_micros) for one in view.outcomes],
        mature_at=msgspec.UNSET if isinstance(view.mature_at, msgspec.UnsetType) else iso(view.mature_at),
        matured=view.matured,
        reward_micros=view.reward_micros,
        reward=view.reward,
        price=decider.price if decider else None,
        reason_text=sentence(view.reason),
    )


def from_warehouse(stored: StoredAudit) -> DecisionView:
    """Return the warehouse's record of a decision in the form of a shard's view."""
    row = stored.decision
    reward = max(stored.rewards, key=lambda one: one.revision, default=None)
    status, reason = _ending(row, stored.deliveries)
    return DecisionView(
        id=row.decision_id,
        user_key=row.user_key,
        user_id=bare_id(row.user_key),
        campaign=row.campaign,
        campaign_version=row.campaign_version,
        trigger=row.trigger,
        occurrence=row.occurrence,
        at=row.at,
        status=status,
        reason=reason,
        refused_arms=row.refused_arms or {},
        group=row.group,
        features={
            name: None if value is None or math.isnan(value) else value for name, value in (row.features or {}).items()
        },
        arms=row.arms,
        arm=row.arm,
        chosen_at=row.chosen_at,
        propensity=row.propensity,
        propensities=row.propensities,
        means=row.means,
        spreads=row.spreads,
        seed=row.seed,
        policy_version=row.policy_version,
        scores=row.scores or [],
        shadow=row.shadow or [],
        shadow_version=row.shadow_version,
        send=_send(stored.deliveries),
        outcomes=[OutcomeView(one.at, one.kind, one.detail, one.value_micros) for one in stored.outcomes],
        matured=reward is not None and reward.mature,
        reward_micros=None if reward is None else reward.reward_micros,
        reward=None if reward is None else reward.reward_micros / MICROS,
    )


def _ending(row: StoredDecision, deliveries: Sequence[StoredDelivery]) -> tuple[str, str | None]:
    """Return status and reason, from how the last attempt ended."""
    if row.reason:
        return DecisionStatus.REFUSED, row.reason
    if row.arm == NO_SEND:
        withheld = Reason.BUDGET_SPENT in (row.refused_arms or {}).values()
        return DecisionStatus.NO_SEND, Reason.BUDGET_SPENT if withheld else None
    if any(attempt.status in (Verdict.ACCEPTED, Verdict.UNKNOWN) for attempt in deliveries):
        return (
            DecisionStatus.SENT,
            None,
        )  # even if a later attempt failed: it may have arrived
    reason = next((attempt.reason for attempt in reversed(deliveries) if attempt.reason), None)
    return (DecisionStatus.REFUSED, reason) if reason else (DecisionStatus.SENDING, None)


def _send(deliveries: Sequence[StoredDelivery]) -> SendView | None:
    if not deliveries:
        return None
    last = deliveries[-1]
    accepted = next((attempt for attempt in deliveries if attempt.status == Verdict.ACCEPTED), None)
    is_unknown = accepted is None and any(attempt.status == Verdict.UNKNOWN for attempt in deliveries)
    said = read((last.provenance or "").encode())
    return SendView(
        send_key=last.send_key,
        channel=last.channel,
        attempts=len(deliveries),
        next_at=None,
        last_error=None if accepted else last.detail,
        provider=last.provider,
        provider_id=last.provider_id,
        content_hash=last.content_hash,
        locale=last.locale,
        sent_at=accepted.at if accepted else last.at if is_unknown else None,
        unknown=is_unknown,
        quality=said.quality if said is not None else None,
        generation=said.generation if said is not None else None,
    )


class GroupDocument(msgspec.Struct):
    """The experiment's group; ``conflicted``: a merge joined users of two, and this one is left out of lift."""

    group: str
    at: str | None
    conflicted: bool


class ConsentDocument(msgspec.Struct):
    """The last statement about a channel and purpose; "*" means all of them."""

    channel: str
    purpose: str
    granted: bool
    at: str | None
    source: str


class SuppressionDocument(msgspec.Struct):
    """A hard stop on a channel. Addresses are stored as hashes, and so are not shown."""

    channel: str
    at: str | None
    reason: str


class SentDocument(msgspec.Struct):
    """A message that was sent."""

    at: str | None
    campaign: str
    channel: str
    send_key: SendKey


def group_of(held: Standing) -> GroupDocument | None:
    """Return the user's group, None before the first decision."""
    found = held.assignment
    return None if found is None else GroupDocument(found.group, iso(found.at), found.conflicted)


def consent_of(held: Standing) -> list[ConsentDocument]:
    """Return what was stated, by channel and purpose."""
    return [
        ConsentDocument(*_parted(place), said.granted, iso(said.at), said.source)
        for place, said in sorted(held.consent.items())
    ]


def suppressed_of(held: Standing) -> list[SuppressionDocument]:
    """Return the hard stops, by channel."""
    return [
        SuppressionDocument(channel, iso(one.at), one.reason)
        for channel, stops in sorted(held.suppressed.items())
        for one in stops
    ]


def sends_of(held: Standing) -> list[SentDocument]:
    """Return the messages sent that caps may count, newest first."""
    return [SentDocument(iso(sent.at), sent.campaign, sent.channel, sent.send_key) for sent in reversed(held.sends)]


def sentence(reason: str | None) -> str | None:
    """Return a refusal reason in words."""
    return next((words for known, words in SENTENCES.items() if known == reason), None)


def _parted(place: str) -> tuple[str, str]:
    channel, _, purpose = place.partition("/")
    return channel, purpose
