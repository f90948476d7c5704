"""Prepare the sending of a decision's message: ask for its content, and take the last look before dispatch."""

from __future__ import annotations

import msgspec

from whisperer.content.message import RenderRequest
from whisperer.decisions import context
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.delivery.senders import Sender
from whisperer.eligibility.addresses import address_of
from whisperer.eligibility.check import may_dispatch
from whisperer.ids import DecisionId, SendKey
from whisperer.journeys.campaign import CampaignStatus
from whisperer.journeys.engagement import Decision, DecisionStatus
from whisperer.profiles import traits
from whisperer.profiles.population import FORWARDED
from whisperer.shard.state.tenant import Tenant
from whisperer.vocabulary.reasons import Reason


def prepare(tenant: Tenant, decision_id: DecisionId, now: int) -> RenderRequest | Receipt | None:
    """Return what to render, a receipt with status ``refused`` if it must not be sent, or None if nothing waits."""
    found = _waiting(tenant, decision_id)
    if found is None:
        return None
    row, decision = found
    refusal = _refusal(tenant, row, decision, now)
    if refusal is not None:
        return refusal
    people = tenant.people
    campaign = tenant.loop.campaigns.pinned(decision)
    arm = next(arm for arm in campaign.arms if arm.id == decision.arm)
    stated = _traits(tenant, row)
    key = people.keys.text(row)
    assert key is not None
    assert decision.send is not None
    address = address_of(stated, arm.channel, key)
    assert address is not None, "the last look sees to that"
    return RenderRequest(
        send_key=decision.send.send_key,
        decision_id=decision.id,
        tenant=tenant.id,
        user_key=key,
        campaign=decision.campaign,
        channel=arm.channel,
        template=arm.template,
        template_version=arm.template_version,
        variant=arm.id,
        offer=msgspec.json.encode(arm.offer),
        locale=people.locales.texts[int(people.table["locale"][row])],
        zone=people.zones.texts[int(people.table["zone"][row])],
        traits=stated.all(),
        features=dict(zip(context.NAMES, decision.features, strict=False)),  # fewer, if from before a name was added
        event=decision.event,
        address=address,
        purpose=campaign.purpose,
        now=now,
        brief=b"" if arm.brief is None else msgspec.json.encode(arm.brief),
    )


def last_look(tenant: Tenant, decision_id: DecisionId, now: int) -> Decision | Receipt:
    """Return the decision whose rendered message may be sent, or a receipt with the reason why it must not be."""
    found = _waiting(tenant, decision_id)
    if found is None:
        return Receipt(SendKey(""), Verdict.REFUSED, detail=Reason.ERASED)
    return _refusal(tenant, *found, now) or found[1]


def sender_of(tenant: Tenant, decision: Decision) -> Sender:
    """Return whom a decision's message names as its sender, by the version that it was made under."""
    return tenant.loop.campaigns.pinned(decision).sender_of(decision.arm)


def _waiting(tenant: Tenant, decision_id: DecisionId) -> tuple[int, Decision] | None:
    found = tenant.loop.find(decision_id)
    if (
        found is None
        or found[1].status != DecisionStatus.SENDING
        or found[1].send is None
        or found[1].send.next_at >= 0
    ):
        return None
    return found


def _refusal(tenant: Tenant, row: int, decision: Decision, now: int) -> Receipt | None:
    assert decision.send is not None
    reason = _reason(tenant, row, decision, now)
    return None if reason is None else Receipt(decision.send.send_key, Verdict.REFUSED, detail=reason)


def _reason(tenant: Tenant, row: int, decision: Decision, now: int) -> Reason | None:
    people, loop = tenant.people, tenant.loop
    if people.table["status"][row] == FORWARDED:
        return Reason.MERGED
    live = loop.campaigns.by_name.get(decision.campaign)
    if live is None or live.config.status != CampaignStatus.LIVE:
        return Reason.CAMPAIGN_NOT_LIVE
    key, campaign = people.keys.text(row), loop.campaigns.pinned(decision)
    assert key is not None
    assert decision.send is not None
    return may_dispatch(
        decision.send.channel,
        campaign.purpose,
        campaign.quiet_hours,
        loop.engagements[row].standing,
        _traits(tenant, row),
        key,
        people.zones.texts[int(people.table["zone"][row])],
        now,
        loop.experiment.consent_default,
    )


def _traits(tenant: Tenant, row: int) -> traits.Values:
    return traits.Values(tenant.people.traits[row])
