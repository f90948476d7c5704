"""Dead letters that are brought back: tried again under the same key, counted once, and not at any price."""

from __future__ import annotations

import pytest

from tests.support.shard_world import DAY, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, BY_EVENT, MINUTE, WINDOW_MS
from whisperer.delivery.dispatch import Verdict
from whisperer.shard.decision.replaying import ReplayAnswer, answers, look
from whisperer.shard.records import Replays
from whisperer.shard.views.decision import DecisionView


@pytest.fixture
def world() -> World:
    made = World(n=1)
    made.publish_campaigns(1, BY_EVENT)
    return made


def considered(world: World) -> str:
    """The key of a user whose message is under way."""
    for number in range(50):
        user = f"ann{number}"
        world.send(event(user, type="identify", traits=ADDRESSES, at=world.now))
        world.send(event(user, name="Looked", at=world.now))
        world.decide(lambda candidate: "mail")
        if world.under_way:
            return f"u:{user}"
    raise AssertionError("everybody is in the holdout")


def newest(world: World, key: str) -> DecisionView:
    return world.decisions(key)[-1]


def replay(world: World, *decisions: str) -> None:
    world.write(0, Replays(TENANT, list(decisions)))


def answer(world: World, decision: str) -> ReplayAnswer:
    return look(world.shards[0].tenant(TENANT), decision)


def test_a_rejected_message_is_tried_again_under_its_key_and_counted_once(world: World) -> None:
    key = considered(world)
    [send_key] = world.deliver_messages(Verdict.REJECTED)
    dead = newest(world, key)
    assert (dead.status, dead.reason) == ("refused", "provider_rejected")
    assert world.account("nudge").refused == {"provider_rejected": 1}
    replay(world, dead.id)
    assert world.account("nudge").pending == 1
    assert world.account("nudge").refused == {}
    world.tick(world.now + 1)
    assert world.deliver_messages() == [send_key]
    assert newest(world, key).status == "sent"
    account = world.account("nudge")
    assert (account.candidates, account.sent, account.pending) == (account.no_send + 1, 1, 0)
    world.check()


def exhausted(world: World, key: str) -> int:
    """How many attempts it takes until nothing is tried any more."""
    for number in range(1, 30):
        world.deliver_messages(Verdict.RETRY)
        if newest(world, key).reason == "delivery_expired":
            return number
        world.tick(world.now + DAY)
    raise AssertionError("it is tried for ever")


def test_after_its_schedule_is_exhausted_a_message_has_all_of_it_again(world: World) -> None:
    key = considered(world)
    n_attempts = exhausted(world, key)
    assert n_attempts > 5
    replay(world, newest(world, key).id)
    world.tick(world.now + 1)
    assert exhausted(world, key) == n_attempts
    world.check()


def test_attempts_keep_their_numbers(world: World) -> None:
    """The delivery application knows by them what it has answered: a second attempt 0 would get the first one's answer,
    and nothing would be sent."""
    key = considered(world)
    world.deliver_messages(Verdict.REJECTED)
    numbers = []
    for _ in range(3):
        send = newest(world, key).send
        assert send is not None
        numbers.append(send.attempts)
        replay(world, newest(world, key).id)
        world.tick(world.now + 1)
        world.deliver_messages(Verdict.REJECTED)
    assert numbers == [1, 2, 3]


def test_its_window_opens_when_it_is_closed_for_good(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.REJECTED)
    dead = newest(world, key).id
    world.tick(world.now + WINDOW_MS // 2)  # the early look is over
    replay(world, dead)
    world.tick(world.now + WINDOW_MS)
    assert not any(reward.mature for reward in world.rewards() if reward.decision_id == dead)
    world.deliver_messages()
    world.send(event(key[2:], name="Bought", at=world.now + MINUTE, received=world.now))
    world.tick(world.now + WINDOW_MS)
    finals = [reward for reward in world.rewards() if reward.decision_id == dead and reward.mature]
    revisions = [reward.revision for reward in world.rewards() if reward.decision_id == dead]
    assert len(finals) == 1
    assert finals[0].reward_micros > 0
    assert revisions == sorted(set(revisions))
    world.check()


def test_what_a_reader_may_have_is_not_brought_back(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.UNKNOWN)
    sent = newest(world, key)
    assert sent.status == "sent"
    assert answer(world, sent.id) == ReplayAnswer.NOT_DEAD
    replay(world, sent.id)
    world.tick(world.now + 1)
    assert not world.under_way
    assert newest(world, key).status == "sent"


def test_a_bounced_address_is_not_tried_again(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.BOUNCED)
    assert answer(world, newest(world, key).id) == ReplayAnswer.NOT_DEAD


def test_what_is_settled_stays_as_it_is(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.REJECTED)
    world.tick(world.now + WINDOW_MS + 1)
    dead = newest(world, key).id
    before = world.account("nudge")
    assert answer(world, dead) == ReplayAnswer.SETTLED
    replay(world, dead, "dec_unknown")
    assert world.account("nudge") == before
    assert answer(world, "dec_unknown") == ReplayAnswer.NOT_FOUND
    world.check()


def test_one_decision_of_a_user_is_open_at_a_time(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.REJECTED)
    first = newest(world, key).id
    world.send(event(key[2:], name="Looked", at=world.now))
    world.decide(lambda candidate: "mail")
    second = newest(world, key).id
    assert second != first
    assert answer(world, first) == ReplayAnswer.BUSY
    world.deliver_messages(Verdict.REJECTED)
    said = answers(world.shards[0].tenant(TENANT), [(key, first), (key, second), ("u:other", "dec_unknown")])
    assert said == [ReplayAnswer.REPLAYED, ReplayAnswer.BUSY, ReplayAnswer.NOT_FOUND]
    replay(world, first, second)
    assert [one.status for one in world.decisions(key)] == ["sending", "refused"]
    world.check()


def test_consent_withdrawn_meanwhile_holds(world: World) -> None:
    key = considered(world)
    world.deliver_messages(Verdict.REJECTED)
    dead = newest(world, key).id
    world.send(event(key[2:], type="identify", traits={"email": ""}, at=world.now))
    replay(world, dead)
    world.tick(world.now + 1)
    assert world.deliver_messages() == []
    assert newest(world, key).reason == "no_address"
    world.check()
