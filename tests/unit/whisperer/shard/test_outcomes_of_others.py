"""A reward is made of this tenant's decisions only: what names another's, or none that ever was, is refused and counted."""

from __future__ import annotations

import pytest

from tests.support.shard_world import TENANT, World, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT, WINDOW_MS
from tests.unit.whisperer.shard.state.test_loop import only, treated
from whisperer.feedback.ledger import Ledger
from whisperer.feedback.outcome import OutcomeKind
from whisperer.shard.records import Outcome, Outcomes

STRANGER = "another-tenant"


@pytest.mark.parametrize("decision", ["of another tenant", "dec_00000000000000000000000000"])
def test_an_outcome_of_a_foreign_or_unknown_decision_is_refused_and_counted(world: World, decision: str) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    world.send(event(user, name="Looked"))
    world.decide(lambda _: "mail")
    world.deliver_messages()
    found = only(world, user)
    home = world.home_of(found.id)
    own = decision == "of another tenant"
    outcome = Outcome(
        f"u:{user}", found.id if own else decision, OutcomeKind.UNSUBSCRIBED, world.now, "", "email", "marketing"
    )
    sender = STRANGER if own else TENANT
    world.write(home, Outcomes(sender, [outcome]))
    shard = world.shards[home]
    assert shard.tenant(sender).counters["dropped.outcome_unknown"] == 1
    assert STRANGER not in shard.tenants or len(shard.tenant(STRANGER).loop.rewards) == 0
    world.tick(world.now + WINDOW_MS)
    assert [one.reward_micros for one in world.rewards() if one.mature] == [0]  # an unsubscription would have cost
    ledger = Ledger()
    ledger.apply(0, [(TENANT, one) for one in world.rewards()])
    assert {tenant for tenant, _ in ledger.statistics} == {TENANT}
