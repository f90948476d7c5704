"""A decision whose message is looked for: open meanwhile, never sent, and closed by whatever is learned first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, SEED, TENANT, World
from tests.unit.whisperer.shard.campaigns import BY_EVENT
from tests.unit.whisperer.shard.decision.test_heard import kinds, say, send
from tests.unit.whisperer.shard.state.test_loop import engagements, message, only, treated, withdrawn
from whisperer.delivery.dispatch import Looked, Receipt, Verdict
from whisperer.delivery.search import LOOKS_S
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.journeys.engagement import SendState
from whisperer.shard.records import Receipts


@pytest.fixture
def looking(world: World) -> tuple[World, str]:
    """A user whose message is looked for."""
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    send(world, user, None)
    told(world, user, Verdict.UNKNOWN, looked=Looked(world.now, "w"), retry_after_s=LOOKS_S[0])
    return world, user


def told(world: World, user: str, status: Verdict, **more: object) -> None:
    """The receipt of what is under way for a user."""
    found = only(world, user)
    receipt = Receipt(message(found).send_key, status, "twilio", content_hash="hash", **more)  # type: ignore[arg-type]
    world.write(world.home_of(found.id), Receipts(TENANT, [(found.id, receipt)]))


def state(world: World, user: str) -> SendState:
    decision = only(world, user).id
    found = world.shards[world.home_of(decision)].tenant(TENANT).loop.find(decision)
    assert found is not None
    assert found[1].send is not None
    return found[1].send


def looked_again(world: World, user: str, status: Verdict = Verdict.UNKNOWN, **more: object) -> None:
    """The next look's receipt, when it is due."""
    world.under_way.clear()
    world.tick(state(world, user).next_at)
    assert world.under_way == [only(world, user).id]
    told(world, user, status, **more)


def test_it_is_open_and_due_when_the_look_is(looking: tuple[World, str]) -> None:
    world, user = looking
    found, account = only(world, user), world.account("nudge")
    assert (found.status, message(found).unknown, message(found).next_at) == ("sending", True, world.now + 10_000)
    assert (account.pending, account.sent, account.unknown) == (1, 0, 0)


def test_what_is_found_is_sent_with_the_providers_id(looking: tuple[World, str]) -> None:
    world, user = looking
    looked_again(world, user, Verdict.ACCEPTED, provider_id="SM1")
    found = only(world, user)
    assert (found.status, message(found).unknown, message(found).provider_id) == ("sent", False, "SM1")
    assert (world.account("nudge").sent, world.account("nudge").unknown) == (1, 0)
    assert state(world, user).looked is None


def test_looks_take_no_place_in_the_schedule_and_the_last_one_leaves_it_as_sent(looking: tuple[World, str]) -> None:
    world, user = looking
    for n, wait_s in enumerate(LOOKS_S[1:], 1):
        looked_again(world, user, looked=Looked(world.now, "w", n), retry_after_s=wait_s)
        assert state(world, user).next_at == world.now + round(1000 * wait_s)
    assert (state(world, user).attempts, state(world, user).before) == (4, 3)
    looked_again(world, user)
    found = only(world, user)
    assert (found.status, message(found).unknown, world.account("nudge").unknown) == ("sent", True, 1)
    world.tick(world.now + 10 * DAY)
    assert world.deliver_messages() == []


def test_what_surely_was_not_taken_is_tried_again_and_can_be_refused(looking: tuple[World, str]) -> None:
    world, user = looking
    looked_again(world, user, looked=Looked(world.now, "w", 1), retry_after_s=60.0)
    looked_again(world, user, Verdict.RETRY, settles=True)
    sent = state(world, user)
    assert (sent.unknown, sent.looked, sent.attempts - sent.before) == (False, None, 1)
    assert world.now + 5_000 <= sent.next_at <= world.now + 6_000  # as after any first attempt
    world.tick(sent.next_at)
    world.deliver_messages(Verdict.REJECTED)
    found = only(world, user)
    assert (found.status, found.reason) == ("refused", "provider_rejected")
    assert [len(held.standing.sends) for held in engagements(world) if held.decisions] == [0]


def test_a_look_that_could_not_be_made_is_still_a_look_the_next_time(looking: tuple[World, str]) -> None:
    """The delivery application says `retry` for whatever goes wrong on our side: it must not pass for "not taken"."""
    world, user = looking
    looked = state(world, user).looked
    for _ in range(20):
        looked_again(world, user, Verdict.RETRY)
        if only(world, user).status != "sending":
            break
        assert (state(world, user).looked, state(world, user).unknown) == (looked, True)
    found = only(world, user)
    assert (found.status, found.reason, message(found).unknown) == ("sent", None, True)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind != OutcomeKind.CONVERTED])
def test_what_is_heard_of_it_ends_the_search(looking: tuple[World, str], kind: OutcomeKind) -> None:
    world, user = looking
    say(world, user, kind)
    say(world, user, kind)
    found, account = only(world, user), world.account("nudge")
    assert (found.status, message(found).unknown, message(found).sent_at) == ("sent", False, world.now)
    assert (account.sent, account.unknown, account.pending) == (1, 0, 0)
    assert [len(held.standing.sends) for held in engagements(world) if held.decisions] == [1]
    for late in (Verdict.ACCEPTED, Verdict.UNKNOWN):
        told(world, user, late)
    told(world, user, Verdict.RETRY, settles=True)  # a look that was under way and did not see it
    assert only(world, user).status == "sent"
    world.tick(world.now + DAY)
    assert world.deliver_messages() == []
    assert kind in kinds(world, user)


@pytest.mark.parametrize("kind", [OutcomeKind.DELIVERED, OutcomeKind.OPENED, OutcomeKind.BOUNCED])
def test_what_was_heard_before_the_receipt_makes_a_search_needless(world: World, kind: OutcomeKind) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    send(world, user, None)
    say(world, user, kind)
    assert only(world, user).status == "sending"
    told(world, user, Verdict.UNKNOWN, looked=Looked(world.now, "w"), retry_after_s=LOOKS_S[0])
    found = only(world, user)
    assert (found.status, message(found).unknown, state(world, user).looked) == ("sent", False, None)
    assert (world.account("nudge").sent, world.account("nudge").unknown) == (1, 0)


def test_a_withdrawn_consent_ends_the_search_and_it_is_taken_as_sent(looking: tuple[World, str]) -> None:
    world, user = looking
    world.write(world.home(partition_of(f"u:{user}", SEED)), withdrawn(user))
    world.tick(state(world, user).next_at)
    assert world.deliver_messages() == []
    found = only(world, user)
    assert (found.status, message(found).unknown, state(world, user).looked) == ("sent", True, None)


def test_the_text_that_was_sent_is_remembered_whatever_the_looks_are_made_with(looking: tuple[World, str]) -> None:
    world, user = looking
    assert state(world, user).content_hash == "hash"
    found = only(world, user)
    other = Receipt(message(found).send_key, Verdict.ACCEPTED, "twilio", "SM1", content_hash="other")
    world.tick(state(world, user).next_at)
    world.write(world.home_of(found.id), Receipts(TENANT, [(found.id, other)]))
    assert state(world, user).content_hash == "hash"


STEPS = ("found", "again", "gone", "failed", "last", "delivered", "opened", "bounced", "withdrawn")


@given(st.lists(st.sampled_from(STEPS), max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_in_whatever_order_the_books_balance_and_it_is_sent_again_only_if_gone(
    steps: Sequence[str],
) -> None:
    world = World()
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    send(world, user, None)
    told(world, user, Verdict.UNKNOWN, looked=Looked(world.now, "w"), retry_after_s=LOOKS_S[0])
    was_gone = False
    for number, step in enumerate(steps):
        is_looking = only(world, user).status == "sending" and state(world, user).looked is not None
        match step:
            case "found":
                told(world, user, Verdict.ACCEPTED, provider_id="SM1")
            case "again":
                told(world, user, Verdict.UNKNOWN, looked=Looked(world.now, "w", number), retry_after_s=5.0)
            case "gone":
                was_gone = was_gone or is_looking
                told(world, user, Verdict.RETRY, settles=True)
            case "failed":
                told(world, user, Verdict.RETRY)
            case "last":
                told(world, user, Verdict.UNKNOWN)
            case "withdrawn":
                world.write(world.home(partition_of(f"u:{user}", SEED)), withdrawn(user))
            case _:
                say(world, user, OutcomeKind(step))
        world.now += 1_000
        assert was_gone or state(world, user).looked is not None or only(world, user).status == "sent"
    account = world.account("nudge")
    assert account.pending + account.sent + sum(account.refused.values()) == 1
    world.check()
