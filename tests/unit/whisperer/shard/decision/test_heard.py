"""What providers say of messages, and what programs do to them: in any order, twice, early and late."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT, MINUTE, WINDOW_MS
from tests.unit.whisperer.shard.state.test_loop import message, only, treated
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.eligibility.suppression import address_hash
from whisperer.feedback.outcome import OutcomeKind
from whisperer.shard import inspection
from whisperer.shard.machine import Shard
from whisperer.shard.records import Outcome, Outcomes, Receipts, Record, decode_record
from whisperer.shard.state.loop import BY_REPLY
from whisperer.shard.views.decision import DecisionView

USED, OTHER = address_hash("email", "ann@example.com"), address_hash("email", "old@example.com")
LIMIT, WITHIN_MS = 3, 7 * DAY


@pytest.fixture
def sent(world: World) -> tuple[World, str]:
    """A world with a user to whom one mail was sent."""
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    send(world, user)
    return world, user


def send(world: World, user: str, status: str | None = Verdict.ACCEPTED, **more: Any) -> DecisionView:
    world.now += MINUTE
    world.send(event(user, name="Looked", at=world.now))
    world.decide(lambda _: "mail")
    if status is not None:
        world.deliver_messages(status, **more)
    return world.decisions(f"u:{user}")[-1]


def say(world: World, user: str, kind: OutcomeKind, decision: str | None = None, **more: Any) -> None:
    found = decision if decision is not None else world.decisions(f"u:{user}")[-1].id
    soft = (LIMIT, WITHIN_MS) if kind is OutcomeKind.SOFT_BOUNCED else (0, 0)
    given = {"at": world.now, "detail": "", "channel": "email", "purpose": "", "address_hash": USED}
    outcome = Outcome(f"u:{user}", found, kind, **given | {"limit": soft[0], "within_ms": soft[1]} | more)
    world.write(world.home_of(found), Outcomes(TENANT, [outcome]))


def kinds(world: World, user: str) -> list[str]:
    return [one.kind for one in world.decisions(f"u:{user}")[-1].outcomes]


def suppressed(world: World, user: str) -> list[tuple[str, bytes]]:
    view = world.user(f"u:{user}")
    assert view is not None
    return [(one.reason, one.address_hash) for one in view.standing.suppressed.get("email", [])]


def counted(world: World) -> dict[str, int]:
    totals: dict[str, int] = {}
    for shard in world.shards:
        account = shard.tenant(TENANT).loop.accounts.get("nudge")
        for kind, n in (account.outcomes if account else {}).items():
            totals[str(kind)] = totals.get(str(kind), 0) + n
    return totals


@pytest.mark.parametrize("kind", [OutcomeKind.BOUNCED, OutcomeKind.COMPLAINED])
def test_a_bounce_or_complaint_suppresses_the_address_that_was_used(sent: tuple[World, str], kind: OutcomeKind) -> None:
    world, user = sent
    world.send(event(user, type="identify", traits={"email": "new@example.com"}, at=world.now))
    say(world, user, kind)
    say(world, user, kind)
    assert suppressed(world, user) == [(kind, USED)]
    assert (kinds(world, user), counted(world)) == ([kind], {kind: 1})
    assert only(world, user).status == "sent"


@pytest.mark.parametrize("kind", [OutcomeKind.DELIVERED, OutcomeKind.BOUNCED, OutcomeKind.FAILED])
def test_what_comes_before_the_receipt_is_kept_and_the_receipt_counts(world: World, kind: OutcomeKind) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    send(world, user, None)
    say(world, user, kind)
    found = only(world, user)
    assert found.status == "sending"
    receipt = Receipt(message(found).send_key, Verdict.ACCEPTED, "sink", "p1")
    world.write(world.home_of(found.id), Receipts(TENANT, [(found.id, receipt)]))
    assert (only(world, user).status, kinds(world, user)) == ("sent", [kind])
    assert world.account("nudge").sent == 1


def test_a_delivery_settles_what_was_taken_as_sent(world: World) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    found = send(world, user, Verdict.UNKNOWN, repeatable=False)
    assert message(found).unknown
    assert world.account("nudge").unknown == 1
    say(world, user, OutcomeKind.DELIVERED)
    say(world, user, OutcomeKind.DELIVERED)
    assert not message(only(world, user)).unknown
    assert (world.account("nudge").unknown, world.account("nudge").sent) == (0, 1)


def test_three_soft_bounces_within_a_week_suppress(world: World) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    for n in range(LIMIT):
        assert suppressed(world, user) == []
        send(world, user)
        for _ in range(3):  # one message counts once
            say(world, user, OutcomeKind.SOFT_BOUNCED, detail=f"4.2.{n}")
            say(world, user, OutcomeKind.SOFT_BOUNCED)
    assert suppressed(world, user) == [("soft_bounced", USED)]
    assert send(world, user, None).refused_arms["mail"] == "suppressed"


def test_soft_bounces_over_more_than_a_week_do_not(world: World) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    for _ in range(LIMIT + 1):
        send(world, user)
        say(world, user, OutcomeKind.SOFT_BOUNCED)
        world.tick(world.now + WITHIN_MS // 2 + MINUTE)
    assert suppressed(world, user) == []


def test_soft_bounces_of_two_addresses_do_not_add_up(world: World) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    for used in (OTHER, OTHER, USED):
        send(world, user)
        say(world, user, OutcomeKind.SOFT_BOUNCED, address_hash=used)
    assert suppressed(world, user) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_soft_bounces_count_in_whatever_order_they_come(world: World, order: Sequence[int]) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    made = []
    for _ in range(3):
        found = send(world, user)
        made.append((found.id, world.now))
        world.tick(world.now + DAY)
    for n in order:
        say(world, user, OutcomeKind.SOFT_BOUNCED, made[n][0], at=made[n][1])
    assert suppressed(world, user) == [("soft_bounced", USED)]


def test_an_outcome_is_of_when_it_happened_but_never_of_before_its_decision_or_later_than_now(
    sent: tuple[World, str],
) -> None:
    world, user = sent
    decided = only(world, user).at
    world.tick(world.now + MINUTE)
    for at, kept in ((decided + 5, decided + 5), (1, decided), (world.now + DAY, world.now)):
        say(world, user, OutcomeKind.FAILED, at=at, detail=str(at))
        assert world.decisions(f"u:{user}")[-1].outcomes[-1].at == kept


def click(world: World, user: str, url: str, at: int, kind: OutcomeKind = OutcomeKind.CLICKED) -> None:
    say(world, user, kind, detail=url, at=at, address_hash=b"")


def test_clicks_on_two_links_within_a_second_were_a_program_s(sent: tuple[World, str]) -> None:
    world, user = sent
    world.tick(world.now + MINUTE)
    at = world.now - 2_000
    click(world, user, "https://a.example/", at)
    assert counted(world) == {"clicked": 1}
    click(world, user, "https://b.example/", at + 999)
    assert kinds(world, user) == ["auto_clicked", "auto_clicked"]
    assert counted(world) == {"auto_clicked": 1}
    click(world, user, "https://a.example/", at + 30_000)
    assert kinds(world, user) == ["auto_clicked", "auto_clicked", "clicked"], "later a reader may follow the same link"
    assert counted(world) == {"auto_clicked": 1, "clicked": 1}


@pytest.mark.parametrize(("url", "later_ms"), [("https://b.example/", 1_000), ("https://a.example/", 10)])
def test_a_second_apart_or_on_one_link_clicks_are_a_reader_s(sent: tuple[World, str], url: str, later_ms: int) -> None:
    world, user = sent
    world.tick(world.now + MINUTE)
    at = world.now - 5_000
    click(world, user, "https://a.example/", at)
    click(world, user, url, at + later_ms)
    assert set(kinds(world, user)) == {"clicked"}


def test_clicks_of_different_messages_have_nothing_to_do_with_each_other(sent: tuple[World, str]) -> None:
    world, user = sent
    first = only(world, user).id
    second = send(world, user).id
    for decision, url in ((first, "https://a.example/"), (second, "https://b.example/")):
        say(world, user, OutcomeKind.CLICKED, decision, detail=url)
    assert counted(world) == {"clicked": 2}


@given(
    clicks=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4_000)), min_size=1, max_size=6, unique=True),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_no_reader_is_made_of_programs_in_any_order(clicks: list[tuple[str, int]], order: Any) -> None:
    """Whoever followed two links within a second is a program, whichever click arrives first."""

    def outcome_of(given: list[tuple[str, int]]) -> set[str]:
        world = World()
        world.publish_campaigns(1, BY_EVENT)
        user = treated(world)
        send(world, user)
        world.tick(world.now + MINUTE)
        start = world.now - 10_000
        for url, at in given:
            click(world, user, url, start + at)
        world.check()
        return {one.detail or "" for one in only(world, user).outcomes if one.kind == "auto_clicked"}

    suspects = {url for url, at in clicks if any(other != url and abs(at - when) < 1_000 for other, when in clicks)}
    mixed = list(clicks)
    order.shuffle(mixed)
    first_of_each = {url: [at for other, at in mixed if other == url] for url, _ in mixed}
    if all(len(times) == 1 for times in first_of_each.values()):
        assert outcome_of(mixed) == suspects
    assert outcome_of(mixed) <= suspects


def test_nothing_that_is_automatic_or_said_by_a_provider_is_rewarded(sent: tuple[World, str]) -> None:
    world, user = sent
    for kind in set(OutcomeKind) - {OutcomeKind.CONVERTED, OutcomeKind.UNSUBSCRIBED}:
        say(world, user, kind)
    world.tick(world.now + WINDOW_MS + MINUTE)
    [mature] = [one for one in world.rewards() if one.mature]
    assert (mature.reward_micros, mature.unsubscribed) == (0, False)


def test_a_reply_that_says_stop_withdraws_consent_by_reply(sent: tuple[World, str]) -> None:
    world, user = sent
    say(world, user, OutcomeKind.UNSUBSCRIBED, detail=BY_REPLY, purpose="*", address_hash=b"")
    view = world.user(f"u:{user}")
    assert view is not None
    stated = view.standing.consent["email/*"]
    assert (stated.granted, stated.source) == (False, BY_REPLY)


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_what_is_said_of_nobody_breaks_nothing(world: World, kind: OutcomeKind) -> None:
    world.publish_campaigns(1, BY_EVENT)
    user = treated(world)
    say(world, user, kind, "dec_unknown", channel="", address_hash=b"")
    say(world, "nobody", kind, "dec_unknown")
    say(world, user, kind, "", address_hash=b"")


def as_version(world: World, shard: int, version: int) -> Shard:
    """The shard that a journal gives whose records are of an earlier release."""
    copy = Shard(shard)
    records = (msgspec.structs.replace(decode_record(data), version=version) for data in world.journals[shard])
    copy.apply(enumerate(map(_record, records)))
    return copy


def _record(record: Any) -> Record:
    assert isinstance(record, Record)
    return record


def test_records_of_the_release_before_are_applied_as_it_did(sent: tuple[World, str]) -> None:
    world, user = sent
    at = world.now - 30_000
    home = world.home_of(only(world, user).id)
    for url in ("https://a.example/", "https://b.example/"):
        click(world, user, url, at)
    view = inspection.user(as_version(world, home, 5), TENANT, f"u:{user}")
    assert view is not None
    assert [(one.kind, one.at) for one in view.candidacies[0].outcomes] == [("clicked", world.now)] * 2
