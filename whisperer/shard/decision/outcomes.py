"""Take decisions from choice to reward: receipts of providers, outcomes as they arrive, conversions, maturity.

A goal event is credited to the campaign's latest decision whose window holds it, whatever that decision chose. A reward
is reported to the learner twice: at a quarter of the window, so that every decision is looked at at the same age and
early successes do not pass for the whole picture; and finally when the window closes.

A message that its reader may have is never counted as refused. An attempt whose outcome is unknown counts as sent if a
retry could send a second message, and so does a message that had an unknown attempt and was never accepted afterwards.
Where the provider can be asked for the message, the decision stays open while it is looked for; what a reader or the
provider does about it meanwhile shows that it was taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from whisperer.content.generation.record import MAX_BYTES
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.delivery.schedule import MAX_RETRY_AFTER_S, next_attempt_at
from whisperer.eligibility import caps, consent, suppression
from whisperer.eligibility.addresses import address_of
from whisperer.eligibility.standing import Consent, Sent, Standing, Suppression
from whisperer.feedback import outcome as kinds
from whisperer.ids import DecisionId
from whisperer.journeys.engagement import Decision, DecisionStatus, Engagement, OutcomeEntry, bounded, encode
from whisperer.profiles import traits
from whisperer.profiles.population import FORWARDED
from whisperer.profiles.state import ProfileState
from whisperer.shard.decision import inbox
from whisperer.shard.effects import Deliver, Effect, SendLetter, Settled
from whisperer.shard.people.identity import pass_on
from whisperer.shard.records import ConsentStated, MergeIn, Outcome, OutcomePassed
from whisperer.shard.state.live_campaigns import LiveCampaign
from whisperer.shard.state.log import outcome_row
from whisperer.shard.state.loop import BY_LINK, BY_REPLY, Wish
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.state.timers import DECISION_DEADLINE_MS, next_due
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.reasons import Reason
from whisperer.vocabulary.units import MICROS

SKEW_MS = 5_000
"""Client clocks are corrected only from this difference on, so an event may be dated this much before its cause."""

MAX_OUTCOMES = 32

HEARD_SINCE = 6
"""Record version since which outcomes have the time at which they happened, providers report deliveries and soft
bounces, and clicks on several links at once are told from a reader's."""

AT_ONCE_MS = 1_000
"""Within this time a reader does not click on two different links of a message; a scanner follows them all."""

WISHES_SINCE = 5
"""Record version since which the wish of a user of whom nothing is held is remembered."""

DUE_AT_ONCE = 2_000
"""Most due decisions that one Tick handles, at about 40 microseconds each: after an outage many are due."""


def receive(tenant: Tenant, decision_id: DecisionId, receipt: Receipt, now: int) -> Iterator[Effect]:
    """Apply a receipt: close the decision, or wait for the next attempt. An unexpected one is dropped and counted."""
    loop = tenant.loop
    found = loop.find(decision_id)
    if found is None or found[1].status != DecisionStatus.SENDING or found[1].send is None:
        tenant.counters["dropped.receipt_unknown"] += 1
        return
    row, decision = found
    send = found[1].send
    send.provider, send.last_error = receipt.provider, receipt.detail
    if receipt.status != Verdict.REFUSED:
        send.attempts += 1
        if send.looked is None:
            send.content_hash, send.locale = receipt.content_hash, receipt.locale
            send.provenance = receipt.provenance[:MAX_BYTES]
        elif receipt.settles or receipt.looked is not None:
            send.before += 1  # it was looked for; what could not even be asked goes by the schedule
    if receipt.settles:
        send.unknown, send.looked = False, None
    elif receipt.status == Verdict.UNKNOWN:
        send.unknown, send.looked = True, receipt.looked
    match receipt.status:
        case Verdict.ACCEPTED:
            send.provider_id, send.last_error, send.unknown, send.looked = receipt.provider_id, "", False, None
            loop.close(decision, DecisionStatus.SENT, now)
            if receipt.kept is not None:
                inbox.put(tenant, row, decision, receipt.kept, now)
        case Verdict.UNKNOWN if receipt.looked is not None and _is_heard_of(decision):
            send.unknown, send.looked = False, None
            loop.close(decision, DecisionStatus.SENT, now)
        case Verdict.UNKNOWN if receipt.looked is not None:
            send.next_at = now + round(1000 * min(max(receipt.retry_after_s or 0.0, 0.0), MAX_RETRY_AFTER_S))
            loop.timers.watch(decision)
        case Verdict.UNKNOWN if not receipt.repeatable:
            loop.close(decision, DecisionStatus.SENT, now)
        case Verdict.RETRY | Verdict.UNKNOWN:
            next_at = next_attempt_at(
                send.send_key, send.attempts - send.before, now, receipt.retry_after_s, send.channel
            )
            if next_at is None:
                loop.close(decision, DecisionStatus.REFUSED, now, Reason.DELIVERY_EXPIRED)
            else:
                send.next_at = next_at
                loop.timers.watch(decision)
        case Verdict.BOUNCED:
            loop.close(decision, DecisionStatus.REFUSED, now, Reason.BOUNCED)
            _note(tenant, decision, OutcomeEntry(now, kinds.OutcomeKind.BOUNCED))
            _suppress(tenant, row, send.channel, now, "bounced", receipt.address_hash)
        case Verdict.REJECTED:
            loop.close(decision, DecisionStatus.REFUSED, now, Reason.PROVIDER_REJECTED)
        case _:
            loop.close(decision, DecisionStatus.REFUSED, now, _reason(receipt.detail))
    if decision.status == DecisionStatus.SENT:
        _count_send(tenant, row, decision, now)
    loop.log_delivery(decision, receipt, now)
    if tenant.people.table["status"][row] == FORWARDED and decision.status != DecisionStatus.SENDING:
        yield from _follow(tenant, row)


def record(
    tenant: Tenant, outcome: Outcome, now: int, record_version: int, *, is_astray: bool = False
) -> Iterator[Effect]:
    """Record what the user or a provider did about a message.

    A merged user's outcome follows them to their new home; if it finds them merged there as well (``is_astray``), it
    goes to the arbiter, which knows into whom. An outcome for a decision that is not here is dropped and counted, but
    an unsubscription or complaint is heeded even then, and even if nothing is held of the user: the link says enough.
    """
    loop, people = tenant.loop, tenant.people
    found = loop.find(outcome.decision_id)
    row = people.keys.get(outcome.user) if found is None else found[0]
    if row is not None and people.table["status"][row] == FORWARDED:
        yield pass_on(tenant, row, OutcomePassed(outcome), led=not is_astray)
        return
    if found is None:
        tenant.counters["dropped.outcome_unknown"] += 1
    if row is None:
        if (
            record_version >= WISHES_SINCE
            and outcome.channel
            and outcome.kind in (kinds.OutcomeKind.UNSUBSCRIBED, kinds.OutcomeKind.COMPLAINED)
        ):
            purpose = outcome.purpose if outcome.kind == kinds.OutcomeKind.UNSUBSCRIBED else consent.ALL
            loop.wish(outcome.user, tenant.home(outcome.user), Wish(outcome.channel, purpose, now))
        return
    if outcome.kind == kinds.OutcomeKind.UNSUBSCRIBED:
        statement = Consent(now, False, BY_REPLY if outcome.detail == BY_REPLY else BY_LINK)
        consent.state(loop.engagement(row).standing, outcome.channel, outcome.purpose, statement)
    elif outcome.kind in (kinds.OutcomeKind.COMPLAINED, kinds.OutcomeKind.BOUNCED):
        _suppress(tenant, row, outcome.channel, now, outcome.kind, outcome.address_hash)
    if found is None:
        return
    decision = found[1]
    if record_version < HEARD_SINCE:
        _note(tenant, decision, OutcomeEntry(now, outcome.kind, outcome.detail))
        return
    at = max(decision.at, min(outcome.at, now))
    _note(
        tenant,
        decision,
        _judged(tenant, decision, OutcomeEntry(at, outcome.kind, outcome.detail, 0, outcome.address_hash)),
    )
    _settle(tenant, row, decision, now)
    if outcome.kind == kinds.OutcomeKind.SOFT_BOUNCED:
        _count_soft_bounces(tenant, row, outcome, now)
    elif outcome.kind == kinds.OutcomeKind.DELIVERED and decision.status == DecisionStatus.SENT:
        _resolve(tenant, decision)


def state_consent(tenant: Tenant, stated: ConsentStated, now: int) -> Iterator[Effect]:
    """Apply a consent statement that a caller reports; at a merged key's old home it follows the user."""
    people = tenant.people
    row = tenant.row_for(stated.key)
    statement = Consent(now, stated.granted, stated.source)
    if people.table["status"][row] != FORWARDED:
        consent.state(tenant.loop.engagement(row).standing, stated.channel, stated.purpose, statement)
        return
    standing = Standing()
    consent.state(standing, stated.channel, stated.purpose, statement)
    yield _merge_in(tenant, row, Engagement(standing), now)


def observe_goal(tenant: Tenant, row: int, lives: list[LiveCampaign], event: str, timestamp: int, revenue: int) -> None:
    """Credit a user's goal event to the experiment, and to the latest decision whose window holds it."""
    loop = tenant.loop
    held = loop.engagements.get(row)
    if held is None:
        return
    for live in lives:
        goal = live.campaign.goal
        value = MICROS if goal.reward == "conversion" else revenue
        exposure = held.exposures.get(live.name)
        if exposure is None or timestamp <= exposure.since - SKEW_MS:
            continue
        assignment = held.standing.assignment
        assert assignment is not None
        account = loop.account(live.name)
        account.expose(assignment.group, assignment.conflicted, exposure, -1)
        exposure.goal_milli = bounded(exposure.goal_milli + value // 1000)
        account.expose(assignment.group, assignment.conflicted, exposure, 1)
        for decision in reversed(held.decisions):
            mine = decision.campaign == live.name and decision.chosen_at >= 0 and not decision.matured
            if not mine or timestamp <= decision.at - SKEW_MS or 0 <= decision.mature_at < timestamp:
                continue
            decision.earned_micros = bounded(decision.earned_micros + value)
            if decision.converted_at < 0:
                decision.converted_at = timestamp
                account.conversions += 1
            _note(tenant, decision, OutcomeEntry(timestamp, kinds.OutcomeKind.CONVERTED, event, value))
            break


def on_time(tenant: Tenant, now: int) -> Iterator[Effect]:
    """Handle what is due, as far as one Tick goes: deadlines, next attempts, early looks, maturity."""
    loop = tenant.loop
    left = DUE_AT_ONCE
    for moment, decision_id in loop.timers.take(now):
        found = loop.find(decision_id)
        if found is None or next_due(found[1]) != moment:
            continue
        decision = found[1]
        if decision.status == DecisionStatus.DECIDING and now >= decision.at + DECISION_DEADLINE_MS:
            loop.refuse(decision, Reason.DECISION_EXPIRED, now)
            yield Settled(tenant.id, decision.id)
        elif (
            decision.status == DecisionStatus.SENDING
            and decision.send is not None
            and 0 <= decision.send.next_at <= now
        ):
            decision.send.next_at = -1
            yield Deliver(tenant.id, decision.id, decision.send.channel)
        elif decision.mature_at >= 0 and not decision.matured:
            if now >= decision.mature_at:
                decision.early_at = -1
                loop.reward(decision, now, mature=True)
            elif 0 <= decision.early_at <= now:
                decision.early_at = -1
                loop.reward(decision, now, mature=False)
        loop.timers.watch(decision)
        left -= 1
        if not left:
            break


def _judged(tenant: Tenant, decision: Decision, entry: OutcomeEntry) -> OutcomeEntry:
    """Return an entry as it is to be noted: a click within a second of one on another link was a program's.

    So was that other one, which is then noted anew as such; the order in which they arrive makes no difference. What a
    page reports of its own in-app message was no program's.
    """
    clicks = (kinds.OutcomeKind.CLICKED, kinds.OutcomeKind.AUTO_CLICKED)
    if entry.kind not in clicks or not _has_links(decision):
        return entry
    others = [
        o
        for o in decision.outcomes
        if o.kind in clicks and o.detail != entry.detail and abs(o.at - entry.at) < AT_ONCE_MS
    ]
    for other in others:
        if other.kind == kinds.OutcomeKind.CLICKED:
            decision.outcomes.remove(other)
            if not any(o.kind == kinds.OutcomeKind.CLICKED for o in decision.outcomes):
                counts = tenant.loop.account(decision.campaign).outcomes
                counts[kinds.OutcomeKind.CLICKED] -= 1
                counts += Counter()  # drops what is not above zero: another shard counted it, if the partition moved
            _note(tenant, decision, msgspec.structs.replace(other, kind=kinds.OutcomeKind.AUTO_CLICKED))
    return msgspec.structs.replace(entry, kind=kinds.OutcomeKind.AUTO_CLICKED) if others else entry


def _has_links(decision: Decision) -> bool:
    """Return whether its clicks come by tracked links, which programs follow as well."""
    channel = None if decision.send is None else CHANNELS.get(decision.send.channel)
    return channel is None or any(part.has_links for part in channel.parts)


def _count_soft_bounces(tenant: Tenant, row: int, outcome: Outcome, now: int) -> None:
    """Suppress an address that did not take ``limit`` messages within ``within_ms``, among the decisions in memory."""
    bounced_at = {
        decision.id: entry.at
        for decision in tenant.loop.engagement(row).decisions
        if decision.send is not None and decision.send.channel == outcome.channel
        for entry in decision.outcomes
        if entry.kind == kinds.OutcomeKind.SOFT_BOUNCED and entry.address_hash == outcome.address_hash
    }
    bounces, n = sorted(bounced_at.values()), outcome.limit
    if n > 0 and any(last - first <= outcome.within_ms for first, last in zip(bounces, bounces[n - 1 :], strict=False)):
        _suppress(tenant, row, outcome.channel, now, kinds.OutcomeKind.SOFT_BOUNCED, outcome.address_hash)


def _settle(tenant: Tenant, row: int, decision: Decision, now: int) -> None:
    """Close as sent a message that is looked for once something is heard of it."""
    if decision.status != DecisionStatus.SENDING or decision.send is None or decision.send.looked is None:
        return
    if not _is_heard_of(decision):
        return
    decision.send.unknown, decision.send.looked, decision.send.next_at = False, None, -1
    tenant.loop.close(decision, DecisionStatus.SENT, now)
    _count_send(tenant, row, decision, now)


def _is_heard_of(decision: Decision) -> bool:
    """Return whether its provider must have it: somebody said what became of it. A conversion does not say that."""
    return any(entry.kind != kinds.OutcomeKind.CONVERTED for entry in decision.outcomes)


def _count_send(tenant: Tenant, row: int, decision: Decision, now: int) -> None:
    """Count a message that was sent for caps."""
    assert decision.send is not None
    decision.send.looked, decision.send.sent_at = None, now
    sent = Sent(now, decision.campaign, decision.send.channel, decision.send.send_key)
    caps.record(tenant.loop.engagements[row].standing, sent)


def _resolve(tenant: Tenant, decision: Decision) -> None:
    """Count a message that was taken as sent, for lack of an answer, as one that was: its provider delivered it."""
    if decision.send is not None and decision.send.unknown:
        decision.send.unknown = False
        account = tenant.loop.account(decision.campaign)
        account.unknown = max(0, account.unknown - 1)  # another shard counted it, if the partition moved since


def _note(tenant: Tenant, decision: Decision, entry: OutcomeEntry) -> None:
    """Keep an outcome with its decision: each kind and detail once, every conversion, at most MAX_OUTCOMES.

    The first of a kind is always kept, as counts and the reward depend on it.
    """
    held = decision.outcomes
    is_first = not any(o.kind == entry.kind for o in held)
    is_kept = is_first or len(held) < MAX_OUTCOMES
    if entry.kind != kinds.OutcomeKind.CONVERTED and (
        not is_kept or any((o.kind, o.detail) == (entry.kind, entry.detail) for o in held)
    ):
        return
    if is_first:
        tenant.loop.account(decision.campaign).outcomes[entry.kind] += 1
    key, partition = tenant.loop.who(decision)
    tenant.loop.rows.append(outcome_row(tenant.id, key, partition, decision, entry))
    if is_kept:
        held.append(entry)


def _suppress(tenant: Tenant, row: int, channel: str, now: int, reason: str, used: bytes = b"") -> None:
    """Suppress an address: the hashed one that was ``used``, if known, else the one stated now."""
    people = tenant.people
    if used:
        suppressed = tenant.loop.engagement(row).standing.suppressed
        suppression.add(suppressed, channel, Suppression(now, reason, used))
        return
    key = people.keys.text(row)
    assert key is not None
    stated = traits.Values(people.traits[row])
    address = address_of(stated, channel, key, is_bared=tenant.loop.bares_addresses)
    if address is not None:
        suppression.suppress(tenant.loop.engagement(row).standing, channel, address, now, reason)


def _reason(detail: str) -> Reason:
    return Reason(detail) if detail in Reason._value2member_map_ else Reason.TEMPLATE_FAILED


def _follow(tenant: Tenant, row: int) -> Iterator[Effect]:
    """Send a merged user's decision after them, once the receipt of the message that was on its way has arrived."""
    loop = tenant.loop
    left = loop.engagements.pop(row)
    for decision in left.decisions:
        loop.displace(decision.id)
    pinned = loop.campaigns.pinned_by(left.decisions)
    standing = Standing(sends=left.standing.sends, suppressed=left.standing.suppressed)
    moved = Engagement(standing, left.decisions, pinned=pinned, inbox=left.inbox)
    yield _merge_in(tenant, row, moved, max(decision.at for decision in left.decisions))


def _merge_in(tenant: Tenant, row: int, engagement: Engagement, as_of: int) -> SendLetter:
    """Send what belongs to a merged user after them; it is dropped there if they were erased since ``as_of``."""
    people = tenant.people
    target, key = people.targets[row], people.keys.text(row)
    assert key is not None
    body = MergeIn(target, key, as_of, ProfileState(engagement=encode(engagement)))
    return SendLetter(tenant.post(people.partition(row), tenant.home(target), body))
