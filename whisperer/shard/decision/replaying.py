"""Bring dead letters back: messages that a provider would not take, or whose every attempt failed, are tried again.

A decision that is brought back is pending again, and counts as if it had never closed; its attribution window opens
anew when it closes. What may be sent at that moment is decided as for any attempt, by the last look. The send key stays
the same, so that a provider that takes it accepts it once.
"""

from __future__ import annotations

from whisperer.delivery.listing import DEAD
from whisperer.ids import DecisionId, UserKey
from whisperer.journeys.engagement import Decision, DecisionStatus
from whisperer.profiles.population import FORWARDED
from whisperer.shard.state.tenant import Tenant
from whisperer.vocabulary.named import Named


class ReplayAnswer(Named):
    """What becomes of a wish to bring a message back."""

    REPLAYED = "replayed"
    NOT_FOUND = "not_found"
    """It is not in memory: its user moved on, or it is long settled."""
    NOT_DEAD = "not_dead"
    SETTLED = "settled"
    """Its attribution window is over, and what it earned is final."""
    BUSY = "busy"
    """Its user has another open decision; one at a time."""


def look(tenant: Tenant, decision_id: DecisionId) -> ReplayAnswer:
    """Return what bringing this message back would do now."""
    found = tenant.loop.find(decision_id)
    if found is None or tenant.people.table["status"][found[0]] == FORWARDED:
        return ReplayAnswer.NOT_FOUND
    row, decision = found
    if decision.status != DecisionStatus.REFUSED or decision.send is None or decision.reason not in DEAD:
        return ReplayAnswer.NOT_DEAD
    if decision.matured:
        return ReplayAnswer.SETTLED
    if tenant.loop.open(row) is not None:
        return ReplayAnswer.BUSY
    return ReplayAnswer.REPLAYED


def answers(tenant: Tenant, wanted: list[tuple[UserKey, DecisionId]]) -> list[ReplayAnswer]:
    """Return what bringing these messages back together would do now: of each user's, one comes back at a time."""
    said, taken = [], set[UserKey]()
    for key, decision_id in wanted:
        found = ReplayAnswer.BUSY if key in taken else look(tenant, decision_id)
        said.append(found)
        if found == ReplayAnswer.REPLAYED:
            taken.add(key)
    return said


def replay(tenant: Tenant, decision_ids: list[DecisionId], now: int) -> None:
    """Bring back those that can be; the others are counted and left as they are."""
    for decision_id in decision_ids:
        said = look(tenant, decision_id)
        if said != ReplayAnswer.REPLAYED:
            tenant.counters["dropped.replay"] += 1
            continue
        decision = tenant.loop.places[decision_id][1]
        _reopen(tenant, decision, now)


def _reopen(tenant: Tenant, decision: Decision, now: int) -> None:
    assert decision.send is not None
    tenant.loop.reopen(decision, DecisionStatus.SENDING)
    decision.send.before, decision.send.next_at, decision.send.last_error = decision.send.attempts, now, ""
    tenant.loop.timers.watch(decision)
