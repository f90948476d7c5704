"""Take users from a trigger to a choice: who is a candidate, who is refused and why, what choice is asked for.

Everything random or remote happens elsewhere: ids are derived from what happened, the choice comes back as a record,
and the first choice journaled for an id holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.decision import NO_SEND, Candidate, Choice, decision_id, send_key
from whisperer.decisions.versions import parsed
from whisperer.eligibility.addresses import address_of
from whisperer.eligibility.check import eligible_arms, overall
from whisperer.eligibility.groups import assigned
from whisperer.eligibility.standing import Standing
from whisperer.eligibility.suppression import address_hash
from whisperer.ids import UserKey
from whisperer.journeys.engagement import Decision, DecisionStatus, Exposure, SendState
from whisperer.profiles import traits
from whisperer.shard.decision.features import raw_features
from whisperer.shard.effects import Decide, Deliver, Effect, Settled
from whisperer.shard.state.live_campaigns import LiveCampaign
from whisperer.shard.state.log import decision_row
from whisperer.shard.state.membership import RowsView
from whisperer.shard.state.tenant import Tenant
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.reasons import Reason

encode_choice = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Call:
    """Name one user that a trigger calls. ``event``: the event's JSON properties, b"" if there was no event."""

    row: int
    occurrence: str
    event: bytes = b""


def consider(
    tenant: Tenant, live: LiveCampaign, trigger: str, calls: Sequence[Call], now: int, *, misfired: bool = False
) -> Iterator[tuple[int, Effect]]:
    """Make the called users candidates and yield (row, effect) pairs; their rows must be distinct.

    A user outside the audience becomes no candidate, unless a caller asked for that user by name.
    """
    loop, people = tenant.loop, tenant.people
    asked = trigger == "request"
    rows = np.array([call.row for call in calls], np.int64)
    keys = people.keys.texts(rows)
    names = [decision_id(tenant.id, key, live.name, call.occurrence) for call, key in zip(calls, keys, strict=True)]
    places = [at for at, name in enumerate(names) if not loop.was_considered(calls[at].row, name)]
    if not places:
        return
    rows = rows[places]
    inside = _in_audience(tenant, live, rows, now)
    zones = people.table["zone"][rows]
    opened: list[tuple[int, Decision]] = []
    for at, fits, zone in zip(places, inside.tolist(), zones.tolist(), strict=True):
        call, name, key = calls[at], names[at], keys[at]
        if not (fits or asked):
            continue
        # Read this before the new candidacy itself is open.
        busy = loop.open(call.row) is not None
        decision = Decision(
            name, live.name, live.config.version, trigger, call.occurrence, now, DecisionStatus.DECIDING
        )
        loop.admit(call.row, decision)
        held = loop.engagements[call.row]
        if trigger == "schedule":
            held.fired[live.name] = int(call.occurrence)
        reason = _why_not(live, fits=fits, busy=busy, misfired=misfired)
        if reason is None:
            reason = _note_arms(tenant, live, held.standing, decision, call.row, key, people.zones.texts[zone], now)
        if reason is not None:
            loop.refuse(decision, reason, now)
            yield call.row, Settled(tenant.id, decision.id)
            continue
        shares = loop.experiment
        held.standing.assignment = assigned(
            held.standing, key, now, salt=shares.salt, holdout=shares.holdout, uniform=shares.uniform
        )
        if live.name not in held.exposures:
            held.exposures[live.name] = Exposure(now)
            assignment = held.standing.assignment
            loop.account(live.name).expose(assignment.group, assignment.conflicted, held.exposures[live.name], 1)
        decision.group = held.standing.assignment.group
        decision.event = call.event
        opened.append((call.row, decision))
    if opened:
        raw = raw_features(tenant, [row for row, _ in opened], now)
        for (row, decision), values in zip(opened, raw, strict=True):
            decision.features = values
            loop.timers.watch(decision)
            yield row, Decide(candidate_of(tenant, decision))


def drive(tenant: Tenant, decision: Decision) -> Iterator[Effect]:
    """Ask again for what an open decision waits for: after a recovery, or once its partition has arrived."""
    if decision.status == DecisionStatus.DECIDING:
        yield Decide(candidate_of(tenant, decision))
    elif decision.status == DecisionStatus.SENDING and decision.send is not None and decision.send.next_at < 0:
        yield Deliver(tenant.id, decision.id, decision.send.channel)


def candidate_of(tenant: Tenant, decision: Decision) -> Candidate:
    """Build the question that the decisions application answers."""
    campaign = tenant.loop.campaigns.pinned(decision)
    costs = [] if campaign.budget is None else [campaign.cost_micros(arm) for arm in decision.arms]
    return Candidate(
        decision.id,
        tenant.id,
        decision.campaign,
        decision.campaign_version,
        decision.group,
        decision.arms,
        decision.features,
        decision.at,
        user_key=tenant.loop.who(decision)[0],
        costs=costs,
        budget=campaign.budget,
    )


def choose(tenant: Tenant, choice: Choice, now: int) -> Iterator[Effect]:
    """Apply a choice to its decision, if the decision still waits for one."""
    loop = tenant.loop
    found = loop.find(choice.decision_id)
    if found is None or found[1].status != DecisionStatus.DECIDING:
        return
    decision = found[1]
    if choice.arms != decision.arms or choice.arm not in decision.arms or not 0.0 < choice.propensity <= 1.0:
        tenant.counters["dropped.choice_invalid"] += 1  # the decision waits on, and expires if no valid choice comes
        return
    decision.choice, decision.arm, decision.chosen_at = encode_choice(choice), choice.arm, now
    withheld = _withheld(tenant, decision, choice)
    decision.refused_arms |= withheld
    key, partition = loop.who(decision)
    loop.rows.append(decision_row(tenant.id, key, partition, decision, choice))
    if choice.arm == NO_SEND:
        loop.close(decision, DecisionStatus.NO_SEND, now, Reason.BUDGET_SPENT if withheld else "")
    else:
        channel = next(arm.channel for arm in loop.campaigns.pinned(decision).arms if arm.id == choice.arm)
        decision.status, decision.send = DecisionStatus.SENDING, SendState(send_key(decision.id), channel)
        yield Deliver(tenant.id, decision.id, channel)
    yield Settled(tenant.id, decision.id)


def _withheld(tenant: Tenant, decision: Decision, choice: Choice) -> dict[str, str]:
    """Return the arms that the budget ruled out: those of probability 0, except under a rule that fixes the arm."""
    if all(choice.propensities) or tenant.loop.campaigns.pinned(decision).budget is None:
        return {}
    if choice.policy_version != Group.UNIFORM and parsed(choice.policy_version) is None:
        return {}
    return {arm: str(Reason.BUDGET_SPENT) for arm, p in zip(choice.arms, choice.propensities, strict=False) if not p}


def _in_audience(tenant: Tenant, live: LiveCampaign, rows: NDArray[np.int64], now: int) -> NDArray[np.bool_]:
    if live.audience is None:
        return np.ones(len(rows), np.bool_)
    member, _ = live.audience.evaluate(RowsView(tenant.people, rows, now))
    return member


def _why_not(live: LiveCampaign, *, fits: bool, busy: bool, misfired: bool) -> Reason | None:
    """Return why a candidate is refused regardless of its arms, or None."""
    if not live.is_live:
        return Reason.CAMPAIGN_NOT_LIVE
    if misfired:
        return Reason.MISFIRED
    if not fits:
        return Reason.NOT_IN_AUDIENCE
    return Reason.DECISION_OPEN if busy else None


def _note_arms(
    tenant: Tenant,
    live: LiveCampaign,
    standing: Standing,
    decision: Decision,
    row: int,
    key: UserKey,
    zone: str,
    now: int,
) -> Reason | None:
    """Note in the decision which arms are eligible and why the others are not; return a reason if none is."""
    campaign = live.campaign
    stated = traits.Values(tenant.people.traits[row])
    arms, refused = eligible_arms(
        live.arms,
        campaign.purpose,
        campaign.caps,
        campaign.quiet_hours,
        live.name,
        standing,
        stated,
        key,
        zone,
        now,
        tenant.loop.experiment.consent_default,
        is_bared=tenant.loop.bares_addresses,
    )
    if tenant.loop.retained:
        for arm in campaign.arms:
            if arm.id not in arms:
                continue
            address = address_of(stated, arm.channel, key, is_bared=tenant.loop.bares_addresses)
            if address is not None and address_hash(arm.channel, address) in tenant.loop.retained:
                arms.remove(arm.id)
                refused[arm.id] = Reason.SUPPRESSED
    decision.refused_arms = {arm: str(reason) for arm, reason in refused.items()}
    decision.arms = [NO_SEND, *arms]
    return None if arms else overall(refused)
