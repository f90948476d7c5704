"""Completes one decision's audit for the pages: text that is absent becomes "", and a reward that is not known 0.

A shard leaves out what did not happen yet, the warehouse what it does not hold, and an erasure who it was. The pages
read all of them the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from serve_apps.gateway.services.audit import Audit, SendAudit
from whisperer.content.generation.record import GenerationRecord
from whisperer.ids import SendKey, UserKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SendRecord:
    """A decision's message. ``unknown``: it was handed over, and no answer came. ``generation``: of its words."""

    send_key: SendKey
    channel: str
    attempts: int
    next_at: str | None
    last_error: str
    provider: str
    provider_id: str
    content_hash: str
    locale: str
    sent_at: str | None
    unknown: bool
    quality: float | None = None
    generation: GenerationRecord | None = None


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """What the user did about it."""

    at: str | None
    kind: str
    detail: str
    value_micros: int


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision without gaps; see :class:`serve_apps.gateway.services.audit.Audit`."""

    id: str
    user_key: UserKey
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str
    at: str | None
    status: str
    reason: str
    refused_arms: dict[str, str]
    group: str
    features: dict[str, float | None]
    arm: str
    propensity: float | None
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int | None
    policy_version: str
    chosen_at: str | None
    send: SendRecord | None
    outcomes: list[OutcomeRecord]
    mature_at: str | None
    reward_micros: int
    matured: bool
    template: str
    offer: dict[str, Any] | None


def record(audit: Audit) -> DecisionRecord:
    """Return a decision without gaps."""
    return DecisionRecord(
        id=audit.id,
        user_key=audit.user_key,
        campaign=audit.campaign,
        campaign_version=audit.campaign_version,
        trigger=audit.trigger,
        occurrence=audit.occurrence or "",
        at=audit.at,
        status=audit.status,
        reason=audit.reason or "",
        refused_arms=audit.refused_arms,
        group=audit.group or "",
        features=audit.features,
        arm=audit.arm or "",
        propensity=audit.propensity,
        arms=audit.arms,
        propensities=audit.propensities,
        means=audit.means,
        spreads=audit.spreads,
        seed=audit.seed,
        policy_version=audit.policy_version or "",
        chosen_at=audit.chosen_at,
        send=None if audit.send is None else _send(audit.send),
        outcomes=[OutcomeRecord(one.at, one.kind, one.detail or "", one.value_micros) for one in audit.outcomes],
        mature_at=_known(audit.mature_at),
        reward_micros=audit.reward_micros or 0,
        matured=audit.matured,
        template=_known(audit.template) or "",
        offer=_known(audit.offer),
    )


def _known(value: T | msgspec.UnsetType | None) -> T | None:
    return None if isinstance(value, msgspec.UnsetType) else value


def _send(send: SendAudit) -> SendRecord:
    return SendRecord(
        send_key=send.send_key,
        channel=send.channel,
        attempts=send.attempts,
        next_at=send.next_at,
        last_error=send.last_error or "",
        provider=send.provider or "",
        provider_id=send.provider_id or "",
        content_hash=send.content_hash or "",
        locale=send.locale or "",
        sent_at=send.sent_at,
        unknown=send.unknown,
        quality=send.quality,
        generation=send.generation,
    )
