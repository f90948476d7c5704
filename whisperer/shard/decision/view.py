"""Show one decision to callers and pages, from a tenant's state (:mod:`whisperer.shard.views.decision`).

:func:`view` shows everything; :func:`brief` shows what a caller acts on, at a tenth of the cost.
"""

from __future__ import annotations

import math

from whisperer.content.generation.record import read
from whisperer.decisions import context
from whisperer.ids import bare_id
from whisperer.journeys.engagement import Decision
from whisperer.shard.state.loop import choice_of, reward_micros
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.views.decision import DecisionBrief, DecisionView, OutcomeView, SendView
from whisperer.vocabulary.units import MICROS


def view(tenant: Tenant, row: int, decision: Decision) -> DecisionView:
    """Return everything about a decision."""
    key = tenant.people.keys.text(row)
    assert key is not None
    campaign = tenant.loop.campaigns.pinned(decision)
    choice = choice_of(decision) if decision.choice else None
    arm = next((arm for arm in campaign.arms if arm.id == decision.arm), None)
    return DecisionView(
        id=decision.id,
        user_key=key,
        user_id=bare_id(key),
        campaign=decision.campaign,
        campaign_version=decision.campaign_version,
        trigger=decision.trigger,
        occurrence=decision.occurrence,
        at=decision.at,
        status=decision.status,
        reason=decision.reason or None,
        refused_arms=decision.refused_arms,
        group=decision.group or None,
        features=dict(zip(context.NAMES, map(_number, decision.features), strict=False)),
        arms=decision.arms,
        arm=decision.arm or None,
        chosen_at=_time(decision.chosen_at),
        propensity=choice.propensity if choice else None,
        propensities=choice.propensities if choice else [],
        means=choice.means if choice else [],
        spreads=choice.spreads if choice else [],
        seed=choice.seed if choice else None,
        policy_version=choice.policy_version if choice else None,
        scores=list(map(_number, choice.scores)) if choice else [],
        shadow=list(map(_number, choice.shadow)) if choice else [],
        shadow_version=(choice.shadow_version or None) if choice else None,
        template=f"{arm.template}@{arm.template_version}" if arm else None,
        offer=arm.offer if arm else None,
        send=_send(decision),
        outcomes=[OutcomeView(o.at, o.kind, o.detail or None, o.value_micros) for o in decision.outcomes],
        mature_at=_time(decision.mature_at),
        matured=decision.matured,
        reward_micros=reward_micros(decision, campaign) if choice else None,
        reward=reward_micros(decision, campaign) / MICROS if choice else None,
    )


def brief(decision: Decision) -> DecisionBrief:
    """Return what a caller acts on, with the same values as :func:`view`."""
    choice = choice_of(decision) if decision.choice else None
    return DecisionBrief(
        id=decision.id,
        campaign=decision.campaign,
        campaign_version=decision.campaign_version,
        occurrence=decision.occurrence,
        at=decision.at,
        status=decision.status,
        reason=decision.reason or None,
        refused_arms=decision.refused_arms,
        group=decision.group or None,
        arm=decision.arm or None,
        propensity=choice.propensity if choice else None,
        policy_version=choice.policy_version if choice else None,
    )


def _send(decision: Decision) -> SendView | None:
    send = decision.send
    if send is None:
        return None
    said = read(send.provenance)
    return SendView(
        send_key=send.send_key,
        channel=send.channel,
        attempts=send.attempts,
        next_at=_time(send.next_at),
        last_error=send.last_error or None,
        provider=send.provider or None,
        provider_id=send.provider_id or None,
        content_hash=send.content_hash or None,
        locale=send.locale or None,
        sent_at=_time(send.sent_at),
        unknown=send.unknown,
        quality=said.quality if said is not None else None,
        generation=said.generation if said is not None else None,
    )


def _time(ms: int) -> int | None:
    return None if ms < 0 else ms


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
