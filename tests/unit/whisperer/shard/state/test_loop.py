"""The life of a decision in the shard: from a trigger to a reward, and every way it can end before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import shard_world as world
from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import (
    ADDRESSES,
    BY_EVENT,
    BY_SEGMENT,
    DAILY,
    MAIL,
    MINUTE,
    ON_REQUEST,
    TEXT,
    WINDOW_MS,
    campaign,
)
from whisperer.decisions.decision import NO_SEND, decision_id, send_key
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.eligibility.groups import draw
from whisperer.eligibility.rules import QuietHours
from whisperer.eligibility.suppression import address_hash
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.journeys.engagement import KEEP, Engagement
from whisperer.shard.move.packing import extract
from whisperer.shard.records import (
    RECORD_VERSION,
    Asked,
    ConsentStated,
    Outcome,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
    Receipts,
)
from whisperer.shard.state.loop import MOST_IMMATURE
from whisperer.shard.state.timers import DECISION_DEADLINE_MS
from whisperer.shard.views.decision import DecisionView, SendView
from whisperer.vocabulary.groups import Group


def treated(world: World, trait: dict[str, Any] = ADDRESSES, name: str = "ann") -> str:
    """A user with addresses who is not in the holdout: the first of name, name2, …"""
    user = next(
        u for u in (name, *(f"{name}{i}" for i in range(2, 99))) if draw(f"u:{u}", "salt", 0.3, 0.3) != Group.HOLDOUT
    )
    world.send(event(user, type="identify", traits=trait, at=world.now))
    return user


def held_out(world: World) -> str:
    user = next(f"h{i}" for i in range(99) if draw(f"u:h{i}", "salt", 0.3, 0.3) == Group.HOLDOUT)
    world.send(event(user, type="identify", traits=ADDRESSES, at=world.now))
    return user


def only(world: World, user: str) -> DecisionView:
    (found,) = world.decisions(f"u:{user}")
    return found


def message(decision: DecisionView) -> SendView:
    assert decision.send is not None
    return decision.send


@pytest.fixture
def live(world: World) -> World:
    world.publish_campaigns(1, BY_EVENT, ON_REQUEST)
    return world


def test_an_event_becomes_a_decision_a_message_and_a_reward(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked", id="look", at=live.now))
    found = only(live, user)
    assert (found.status, found.arms) == ("deciding", [NO_SEND, "mail", "text"])
    assert found.id == decision_id(TENANT, f"u:{user}", "nudge", "look")
    live.decide(lambda _: "mail")
    assert live.deliver_messages() == [send_key(found.id)]
    live.now += 5 * MINUTE
    live.send(event(user, name="Bought", at=live.now))
    live.tick(live.now + 15 * MINUTE)
    live.tick(live.now + WINDOW_MS)
    found = only(live, user)
    assert (found.status, found.reward, found.matured) == ("sent", 1.0, True)
    early, final = live.rewards()
    assert (early.mature, final.mature) == (False, True)
    assert (early.reward_micros, final.reward_micros, final.revision) == (1_000_000, 1_000_000, 1)
    account = live.account("nudge")
    assert (account.candidates, account.sent, account.conversions, account.pending) == (1, 1, 1, 0)


def test_the_same_event_makes_one_candidate_however_often_it_arrives(live: World) -> None:
    user = treated(live)
    for _ in range(3):
        live.send(event(user, name="Looked", id="look"))
    assert live.account("nudge").candidates == 1


def test_the_first_choice_journaled_holds(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    asked = list(live.asked)
    live.decide(lambda _: "mail")
    live.asked = asked
    live.decide(lambda _: "text")
    assert only(live, user).arm == "mail"


def test_a_holdout_user_is_decided_like_anyone_and_never_sent_to(live: World) -> None:
    user = held_out(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    assert live.deliver_messages() == []
    found = only(live, user)
    assert (found.group, found.status, found.propensity) == (Group.HOLDOUT, "no_send", 1.0)


def test_without_an_answer_within_a_minute_the_candidate_is_refused(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.tick(live.now + DECISION_DEADLINE_MS - 1)
    assert only(live, user).status == "deciding"
    live.tick(live.now + 1)
    assert only(live, user).reason == "decision_expired"
    live.decide(lambda _: "mail")  # too late
    assert live.deliver_messages() == []


def test_a_second_trigger_while_a_decision_is_open_is_refused(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"), event(user, name="Looked"))
    assert [d.reason for d in live.decisions(f"u:{user}")] == [None, "decision_open"]


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({}, "no_address"),
        ({"email": "not an address"}, "no_address"),
        ({"email": "a@b.example\r\nBcc: x@y.example"}, "no_address"),
    ],
)
def test_without_a_usable_address_there_is_no_arm(live: World, traits: dict[str, Any], reason: str) -> None:
    user = treated(live, {"plan": "pro", **traits})
    live.send(event(user, name="Looked"))
    assert only(live, user).reason == reason


@pytest.mark.parametrize(("version", "reason"), [(4, "no_address"), (RECORD_VERSION, None)])
def test_an_address_with_unseen_marks_is_read_as_the_release_that_wrote_the_record_did(
    live: World, monkeypatch: pytest.MonkeyPatch, version: int, reason: str | None
) -> None:
    monkeypatch.setattr(world, "RECORD_VERSION", version)
    user = treated(live, {"plan": "pro", "email": "\ufeffada@example.com\u200b"})
    live.send(event(user, name="Looked"))
    assert only(live, user).reason == reason


def test_a_withdrawal_between_choice_and_dispatch_stops_the_message_and_keeps_the_reward(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    home = live.home_of(only(live, user).id)
    live.write(home, ConsentStated(TENANT, f"u:{user}", "email", "marketing", False, "support"))
    assert live.deliver_messages() == []
    assert only(live, user).reason == "no_consent"
    live.tick(live.now + WINDOW_MS)
    assert [r.arm for r in live.rewards() if r.mature] == ["mail"]  # intention to treat


def test_an_unsubscription_closes_the_channel_and_costs_reward(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages()
    found = only(live, user)
    outcome = Outcome(f"u:{user}", found.id, OutcomeKind.UNSUBSCRIBED, live.now, "", "email", "marketing")
    live.write(live.home_of(found.id), Outcomes(TENANT, [outcome, outcome]))
    live.tick(live.now + WINDOW_MS)
    assert only(live, user).reward == -0.5
    live.send(event(user, name="Looked"))
    assert live.decisions(f"u:{user}")[-1].refused_arms == {"mail": "no_consent"}


def test_failed_attempts_follow_the_schedule_and_keep_the_send_key(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    keys = live.deliver_messages(Verdict.RETRY)
    assert live.deliver_messages() == []  # it waits
    send = message(only(live, user))
    assert send.next_at > live.now
    live.tick(send.next_at)
    assert live.deliver_messages() == keys
    assert message(only(live, user)).attempts == 2


def test_attempts_end_and_the_refusal_says_so(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    for _ in range(20):
        live.deliver_messages(Verdict.RETRY)
        found = only(live, user)
        if found.status == "refused":
            break
        live.tick(message(found).next_at)
    assert found.reason == "delivery_expired"


def sending(live: World) -> str:
    """A user whose message waits for its receipt."""
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    return user


def test_an_unknown_outcome_is_taken_as_sent_and_is_countable_among_the_sent(live: World) -> None:
    user = sending(live)
    live.deliver_messages(Verdict.UNKNOWN, "handed over, then no answer within 600 s")
    found, account = only(live, user), live.account("nudge")
    assert (found.status, found.reason, message(found).unknown) == ("sent", None, True)
    assert message(found).last_error == "handed over, then no answer within 600 s"
    assert message(found).sent_at == live.now
    assert (account.candidates, account.sent, account.unknown, account.pending) == (1, 1, 1, 0)
    live.tick(live.now + 10 * DAY)
    assert live.deliver_messages() == []  # never asked again
    live.check()


def test_an_unknown_outcome_that_may_be_repeated_is_asked_for_again_under_the_same_key(live: World) -> None:
    user = sending(live)
    keys = live.deliver_messages(Verdict.UNKNOWN, repeatable=True)
    found = only(live, user)
    assert (found.status, message(found).unknown, live.account("nudge").unknown) == ("sending", True, 0)
    live.tick(message(found).next_at)
    assert live.deliver_messages(Verdict.ACCEPTED) == keys
    found = only(live, user)
    assert (found.status, message(found).unknown, message(found).attempts) == ("sent", False, 2)
    assert (live.account("nudge").sent, live.account("nudge").unknown) == (1, 0)


@pytest.mark.parametrize("end", [Verdict.REJECTED, Verdict.BOUNCED, Verdict.RETRY, "no_consent"])
def test_what_may_be_with_its_reader_is_never_counted_as_refused(live: World, end: str) -> None:
    user = sending(live)
    live.deliver_messages(Verdict.UNKNOWN, repeatable=True)
    if end == "no_consent":
        live.write(live.home(partition_of(f"u:{user}", SEED)), withdrawn(user))
    for _ in range(20):
        found = only(live, user)
        if found.status != "sending":
            break
        live.tick(message(found).next_at)
        live.deliver_messages(Verdict.RETRY if end == "no_consent" else end)
    account = live.account("nudge")
    assert (found.status, found.reason, message(found).unknown) == ("sent", None, True)
    assert (account.sent, account.unknown, dict(account.refused), account.pending) == (1, 1, {}, 0)
    assert [len(held.standing.sends) for held in engagements(live) if held.decisions] == [1]  # caps count it
    live.check()


def withdrawn(user: str) -> ConsentStated:
    return ConsentStated(TENANT, f"u:{user}", "email", "marketing", False, "user")


def engagements(world: World) -> list[Engagement]:
    return [held for shard in world.shards for held in shard.tenant(TENANT).loop.engagements.values()]


@pytest.mark.parametrize(("status", "reason"), [(Verdict.REJECTED, "provider_rejected"), (Verdict.BOUNCED, "bounced")])
def test_a_final_no_of_the_provider_is_a_refusal(live: World, status: str, reason: str) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages(status)
    assert only(live, user).reason == reason


def test_an_address_that_bounced_is_suppressed_until_it_changes(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages(Verdict.BOUNCED)
    live.send(event(user, name="Looked"))
    assert live.decisions(f"u:{user}")[-1].refused_arms == {"mail": "suppressed"}
    live.decide(lambda _: "text")
    live.deliver_messages()
    live.send(event(user, type="identify", traits={"email": "new@example.com"}, at=live.now + 1))
    live.send(event(user, name="Looked"))
    assert live.decisions(f"u:{user}")[-1].refused_arms == {}


def test_caps_count_what_was_sent_on_the_users_own_day(world: World) -> None:
    world.publish_campaigns(1, DAILY, campaign(caps=DAILY.caps))
    user = treated(world)
    world.send(event(user, type="identify", traits=ADDRESSES, zone="Asia/Tokyo"))
    for status in ("sent", "refused"):
        world.send(event(user, name="Looked"))
        world.decide(lambda _: "mail")
        world.deliver_messages()
        assert world.decisions(f"u:{user}")[-1].status == status
    assert world.decisions(f"u:{user}")[-1].reason == "capped"
    world.now += DAY
    world.send(event(user, name="Looked"))
    assert world.decisions(f"u:{user}")[-1].status == "deciding"


def test_quiet_hours_are_looked_at_again_before_dispatch(world: World) -> None:
    minute = (T0 // MINUTE) % 1440
    quiet = QuietHours((minute + 10) % 1440, (minute + 60) % 1440)
    world.publish_campaigns(1, campaign(quiet_hours=quiet))
    user = treated(world)
    world.send(event(user, name="Looked"))
    world.decide(lambda _: "mail")
    world.now += 15 * MINUTE
    assert world.deliver_messages() == []
    assert only(world, user).reason == "quiet_hours"


def test_entering_a_segment_makes_a_candidate_and_being_found_in_it_does_not(world: World) -> None:
    user = treated(world, {**ADDRESSES, "plan": "pro"})
    world.publish_campaigns(1, BY_SEGMENT, pros={"trait": "plan", "op": "eq", "value": "pro"})
    world.tick()
    assert world.decisions(f"u:{user}") == []
    late = treated(world, {**ADDRESSES, "plan": "pro"}, "late")
    assert only(world, late).trigger == "segment"


def test_a_schedule_fires_once_a_day_where_the_user_is(world: World) -> None:
    tokyo, berlin = treated(world), treated(world, name="bob")
    for user, zone in ((tokyo, "Asia/Tokyo"), (berlin, "Europe/Berlin")):
        world.send(event(user, type="identify", traits=ADDRESSES, zone=zone))
    world.publish_campaigns(1, DAILY)
    instants: dict[str, list[int]] = {tokyo: [], berlin: []}
    for _ in range(48 * 4):
        world.tick(world.now + 15 * MINUTE)
        world.decide(lambda _: NO_SEND)
    for user in instants:
        instants[user] = [int(d.occurrence or 0) for d in world.decisions(f"u:{user}")]
        assert len(instants[user]) == 2
    assert all(t // 3_600_000 % 24 == 0 for t in instants[tokyo])  # 9 in Tokyo is midnight UTC
    assert not set(instants[tokyo]) & set(instants[berlin])


def test_outside_of_the_audience_nobody_is_a_candidate_unless_asked_for_by_name(world: World) -> None:
    audience = '{"trait":"plan","op":"eq","value":"pro"}'
    world.publish_campaigns(1, campaign(audience=audience))
    user = treated(world)
    world.send(event(user, name="Looked"))
    assert world.decisions(f"u:{user}") == []
    home = world.home(partition_of(f"u:{user}", world.shards[0].tenant(TENANT).seed))
    world.write(home, Asked(TENANT, "nudge", [(f"u:{user}", "why not")]))
    assert only(world, user).reason == "not_in_audience"


def test_asking_twice_under_one_key_is_one_candidacy(live: World) -> None:
    user = treated(live)
    home = live.home(partition_of(f"u:{user}", live.shards[0].tenant(TENANT).seed))
    for _ in range(2):
        live.write(home, Asked(TENANT, "asked", [(f"u:{user}", "k1"), ("u:nobody", "k1")]))
    assert live.account("asked").candidates == 1


def test_revenue_counts_up_to_the_cap_and_goes_to_the_latest_decision(live: World) -> None:
    user = treated(live)
    home = live.home(partition_of(f"u:{user}", live.shards[0].tenant(TENANT).seed))
    for key in ("first", "second"):
        live.write(home, Asked(TENANT, "asked", [(f"u:{user}", key)]))
        live.decide(lambda _: "text")
        live.deliver_messages()
        live.now += MINUTE
    for _ in range(3):
        live.send(event(user, name="Bought", revenue=60, at=live.now))
    first, second = live.decisions(f"u:{user}")
    assert (first.reward, second.reward) == (-0.1, 99.9)  # what a text costs, and the cap


def test_what_happened_before_the_decision_or_after_its_window_earns_nothing(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages()
    live.send(event(user, name="Bought", at=T0 - MINUTE), event(user, name="Bought", at=T0 + WINDOW_MS + 1))
    assert only(live, user).reward == 0


def test_a_paused_campaign_considers_nobody_and_stops_what_was_not_sent(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.publish_campaigns(2, BY_EVENT, status="paused")
    assert live.deliver_messages() == []
    assert only(live, user).reason == "campaign_not_live"
    live.send(event(user, name="Looked"))
    assert len(live.decisions(f"u:{user}")) == 1


def test_a_decision_stays_under_the_version_it_was_made_under(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.publish_campaigns(2, campaign(arms=(TEXT,)))
    live.decide(lambda _: "mail")
    assert live.deliver_messages()
    assert only(live, user).template == f"{MAIL.template}@1"


def test_a_merge_refuses_what_is_undecided_and_takes_the_rest_along(live: World) -> None:
    live.send(event(anonymous="dev", type="identify", traits=ADDRESSES))
    live.send(event(anonymous="dev", name="Looked"))
    user = treated(live, {})
    live.send(event(user, anonymous="dev", name="Seen"))
    live.deliver(again=True)
    found = live.decisions(f"u:{user}")
    assert [d.reason for d in found] == ["merged"]
    live.decide(lambda _: "mail")
    assert live.deliver_messages() == []


def test_a_message_on_its_way_during_a_merge_is_counted_and_follows_its_user(live: World) -> None:
    dev = next(f"dev{i}" for i in range(99) if _group(f"a:dev{i}") != Group.HOLDOUT)
    live.send(event(anonymous=dev, type="identify", traits=ADDRESSES))
    live.send(event(anonymous=dev, name="Looked"))
    live.decide(lambda _: "mail")
    (under_way,) = live.under_way
    user = treated(live, {})
    live.send(event(user, anonymous=dev, name="Seen"))
    live.deliver()
    live.write(live.home_of(under_way), _accepted(under_way))  # it had left before the merge
    live.deliver()
    assert [(d.id, d.status) for d in live.decisions(f"u:{user}")] == [(under_way, "sent")]
    outcome = Outcome(f"a:{dev}", under_way, OutcomeKind.CLICKED, live.now)
    live.write(live.home(partition_of(f"a:{dev}", live.shards[0].tenant(TENANT).seed)), Outcomes(TENANT, [outcome]))
    live.deliver()
    assert [o.kind for o in only(live, user).outcomes] == [OutcomeKind.CLICKED]


def test_an_erased_user_takes_open_decisions_along_but_a_suppression_stays(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages(Verdict.BOUNCED)
    live.send(event(user, name="Looked"))
    live.erase(f"u:{user}")
    live.deliver()
    account = live.account("nudge")
    assert (account.refused["erased"], account.pending) == (1, 0)
    live.now += MINUTE
    live.send(event(user, type="identify", traits=ADDRESSES, at=live.now), event(user, name="Looked", at=live.now))
    assert only(live, user).refused_arms["mail"] == "suppressed"


def test_a_partition_moves_with_its_open_decisions_and_the_sums_stay(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    partition = partition_of(f"u:{user}", live.shards[0].tenant(TENANT).seed)
    source = live.home(partition)
    state = extract(live.shards[source], TENANT, partition)
    live.write(source, PartitionLeft(TENANT, partition, 2))
    live.place[partition] = 1 - source
    live.asked.clear()
    live.write(1 - source, PartitionJoined(TENANT, partition, 2, state))
    assert [c.decision_id for c in live.asked] == [only(live, user).id]  # asked again where it is now
    live.decide(lambda _: "mail")
    live.deliver_messages()
    account = live.account("nudge")
    assert (account.candidates, account.sent, account.pending) == (1, 1, 0)


def _group(key: str) -> str:
    return draw(key, "salt", 0.3, 0.3)


def _accepted(decision: str) -> Any:
    return Receipts(TENANT, [(decision, Receipt(send_key(decision), Verdict.ACCEPTED, "sink", "p"))])


def test_an_occurrence_that_is_long_settled_is_not_considered_again(live: World) -> None:
    user = treated(live)
    home = live.home(partition_of(f"u:{user}", live.shards[0].tenant(TENANT).seed))
    for n in range(KEEP + 3):
        live.write(home, Asked(TENANT, "asked", [(f"u:{user}", f"k{n}")]))
        live.decide(lambda _: "mail")
        live.deliver_messages()
        live.tick(live.now + WINDOW_MS)
    assert "k0" not in {d.occurrence for d in live.decisions(f"u:{user}")}
    live.write(home, Asked(TENANT, "asked", [(f"u:{user}", "k0")]))
    assert live.account("asked").candidates == KEEP + 3


def test_the_address_that_bounced_is_stopped_not_the_one_stated_meanwhile(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    (decision,), live.under_way = live.under_way, []
    live.send(event(user, type="identify", traits={"email": "new@example.com"}, at=live.now + 1))
    bounced = Receipt(
        send_key(decision), Verdict.BOUNCED, "smtp", address_hash=address_hash("email", ADDRESSES["email"])
    )
    live.write(live.home_of(decision), Receipts(TENANT, [(decision, bounced)]))
    live.send(event(user, name="Looked"))
    assert live.decisions(f"u:{user}")[-1].refused_arms == {}
    live.decide(lambda _: NO_SEND)
    live.send(event(user, type="identify", traits=ADDRESSES, at=live.now + 2), event(user, name="Looked"))
    assert live.decisions(f"u:{user}")[-1].refused_arms == {"mail": "suppressed"}


def test_a_user_who_is_asked_about_at_every_turn_costs_bounded_memory(live: World) -> None:
    user = treated(live)
    home = live.home(partition_of(f"u:{user}", live.shards[0].tenant(TENANT).seed))
    n = KEEP + MOST_IMMATURE + 40
    for turn in range(n):
        live.write(home, Asked(TENANT, "asked", [(f"u:{user}", f"k{turn}")]))
        live.decide(lambda _: NO_SEND)
    assert len(live.decisions(f"u:{user}")) <= KEEP + MOST_IMMATURE + 1
    final = [r.decision_id for r in live.rewards() if r.mature]
    assert len(final) == len(set(final)) >= 39
    live.tick(live.now + WINDOW_MS)
    assert len({r.decision_id for r in live.rewards() if r.mature}) == n  # each is rewarded once in the end
