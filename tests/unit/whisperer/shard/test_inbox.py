"""The in-app inbox as state of a shard: one entry per send, through marks, merges, moves, erasure, replay."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.shard_world import SEED, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import MINUTE, campaign
from tests.unit.whisperer.shard.moves import move
from whisperer.delivery.dispatch import Kept, Receipt, Verdict
from whisperer.eligibility.groups import draw
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.journeys import inbox as inboxes
from whisperer.journeys.campaign import Arm, OnRequest
from whisperer.journeys.inbox import Mark
from whisperer.shard import inspection, snapshot
from whisperer.shard.decision.inbox import view
from whisperer.shard.machine import DEFAULT_MAX_IDS, Shard
from whisperer.shard.records import Asked, InboxMarked, Receipts, RecordBody
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.views.inbox import InboxEntryView, InboxView
from whisperer.vocabulary.groups import Group

SHOWN = campaign("shown", OnRequest(), arms=(Arm("card", "inapp", "card", 1),))
TWO = b'{"kind":"card","title":"Hi","body":"Ada","actions":[{"label":"a","url":"/a"},{"label":"b","url":"/b"}]}'


def message(text: str = "Ada", expires_in_s: int = 0) -> Kept:
    shown = {"kind": "card", "title": "Hi", "body": text, "actions": [{"label": "See", "url": "/see"}]}
    return Kept(msgspec.json.encode(shown), expires_in_s)


class Readers:
    """A world in which a caller has in-app messages sent, and their readers mark them."""

    def __init__(self, *users: str, n: int = 2) -> None:
        self.world = World(n=n)
        self.world.publish_campaigns(1, SHOWN)
        self.occurrences = itertools.count()
        self.map_version = itertools.count(2)
        for user in users:
            self.world.send(event(user, at=self.world.now))

    def shard(self, key: str) -> int:
        return self.world.home(partition_of(key, SEED))

    def tenant(self, key: str) -> Tenant:
        return self.world.shards[self.shard(key)].tenant(TENANT)

    def write(self, key: str, body: RecordBody) -> None:
        self.world.write(self.shard(key), body)

    def ask(self, key: str) -> None:
        self.write(key, Asked(TENANT, "shown", [(key, str(next(self.occurrences)))]))
        self.world.decide(lambda _: "card")

    def receive(self, kept: Kept, *, n: int = 10) -> None:
        """Receipts of the last ``n`` messages: they were dispatched whatever became of their users since."""
        going = self.world.under_way[-n:]
        del self.world.under_way[-n:]
        for decision in going:
            shard = self.world.home_of(decision)
            found = self.world.shards[shard].tenant(TENANT).loop.find(decision)
            key = found[1].send.send_key if found and found[1].send else "snd_erased"
            receipt = Receipt(key, Verdict.ACCEPTED, "inbox", kept=kept)
            self.world.write(shard, Receipts(TENANT, [(decision, receipt)]))

    def put(self, key: str, kept: Kept | None = None) -> str:
        """Have a message sent, and return its entry's id."""
        before = {one.id for one in self.entries(key)}
        self.world.now += 1
        self.ask(key)
        self.receive(kept or message())
        (made,) = {one.id for one in self.entries(key)} - before
        return made

    def view(self, key: str, known_tag: str = "") -> InboxView | None:
        return view(self.tenant(key), key, self.world.now, known_tag=known_tag)

    def entries(self, key: str) -> list[InboxEntryView]:
        """What is shown, newest first, wherever the user is now."""
        found = self.view(key)
        while found is not None and found.moved_to is not None:
            found = self.view(found.moved_to)
        return [] if found is None or found.entries is None else [one for one in found.entries if not one.is_expired]

    def mark(self, key: str, entry: str, mark: Mark, action: int = 0) -> None:
        self.write(key, InboxMarked(TENANT, key, entry, mark, action))


def reachable(n: int) -> list[str]:
    """Users outside of the holdout, to whom nothing is sent."""
    named = (f"r{i}" for i in itertools.count())
    return list(itertools.islice((u for u in named if draw(f"u:{u}", "salt", 0.3, 0.3) != Group.HOLDOUT), n))


ANN, BOB, CYD = reachable(3)
KEYS = [f"u:{user}" for user in (ANN, BOB, CYD)]
A, B, C = KEYS


@pytest.fixture
def readers() -> Readers:
    return Readers(ANN, BOB, CYD)


def test_a_message_is_there_from_the_record_that_made_it_sent(readers: Readers) -> None:
    readers.ask(A)
    assert readers.entries(A) == []
    readers.receive(message("Ada"))
    (entry,) = readers.entries(A)
    assert msgspec.json.decode(entry.message)["body"] == "Ada"
    (decision,) = readers.world.decisions(A)
    assert (decision.id, decision.status) == (entry.id, "sent")
    assert readers.entries(B) == []
    readers.world.check()


def test_a_receipt_that_is_journaled_twice_makes_one_entry(readers: Readers) -> None:
    readers.ask(A)
    (decision,) = readers.world.under_way
    for text in ("first", "second"):
        receipt = Receipt(readers.world.decisions(A)[0].send.send_key, Verdict.ACCEPTED, "inbox", kept=message(text))  # type: ignore[union-attr]
        readers.write(A, Receipts(TENANT, [(decision, receipt)]))
    (entry,) = readers.entries(A)
    assert msgspec.json.decode(entry.message)["body"] == "first"


@pytest.mark.parametrize("status", [Verdict.REJECTED, Verdict.RETRY, Verdict.UNKNOWN, Verdict.REFUSED])
def test_only_what_was_accepted_is_an_entry(readers: Readers, status: Verdict) -> None:
    readers.ask(A)
    (decision,) = readers.world.under_way
    send = readers.world.decisions(A)[0].send
    assert send is not None
    readers.write(A, Receipts(TENANT, [(decision, Receipt(send.send_key, status, "inbox", kept=message()))]))
    assert readers.entries(A) == []


def test_who_sees_opens_and_who_chooses_an_action_clicks(readers: Readers) -> None:
    entry = readers.put(A, Kept(TWO))
    readers.world.now += 5
    readers.mark(A, entry, Mark.SEEN)
    readers.world.now += 5
    readers.mark(A, entry, Mark.CLICK, 1)
    readers.mark(A, entry, Mark.CLICK, 1)
    readers.mark(A, entry, Mark.CLICK, 2)  # there is none
    (decision,) = readers.world.decisions(A)
    assert [(one.kind, one.detail) for one in decision.outcomes] == [("opened", None), ("clicked", "/b")]
    account = readers.tenant(A).loop.account("shown")
    assert account.outcomes == {"opened": 1, "clicked": 1}
    (shown,) = readers.entries(A)
    assert (shown.seen_at, shown.read_at) == (readers.world.now - 5, readers.world.now)


def test_two_actions_clicked_at_once_are_a_reader_s(readers: Readers) -> None:
    """The page reports them: no program follows what is no tracked link."""
    entry = readers.put(A, Kept(TWO))
    readers.mark(A, entry, Mark.CLICK, 0)
    readers.mark(A, entry, Mark.CLICK, 1)
    decision = readers.world.decisions(A)[-1]
    assert [one.kind for one in decision.outcomes if one.kind != "opened"] == ["clicked", "clicked"]


def test_marking_all_read_says_of_none_that_it_was_opened(readers: Readers) -> None:
    for _ in range(3):
        readers.put(A)
    readers.mark(A, "", Mark.READ)
    found = readers.view(A)
    assert found is not None
    assert found.n_unread == 0
    assert {one.kind for decision in readers.world.decisions(A) for one in decision.outcomes} == set()


def test_only_reading_and_archiving_are_said_of_all_at_once(readers: Readers) -> None:
    for _ in range(2):
        readers.put(A)
    for mark in (Mark.CLICK, Mark.SEEN, Mark.UNREAD, Mark.UNARCHIVE):
        before = inspection.digest(readers.world.shards[readers.shard(A)])
        readers.mark(A, "", mark)
        assert inspection.digest(readers.world.shards[readers.shard(A)]) == before


def test_a_mark_for_somebody_elses_message_does_nothing(readers: Readers) -> None:
    entry = readers.put(A)
    readers.mark(B, entry, Mark.READ)
    readers.mark("u:nobody", entry, Mark.READ)
    assert readers.entries(A)[0].read_at is None
    assert readers.world.decisions(A)[0].outcomes == []


def test_an_expired_entry_is_shown_no_longer_and_cannot_be_marked(readers: Readers) -> None:
    entry = readers.put(A, message(expires_in_s=60))
    found = readers.view(A)
    assert found is not None
    tag = found.tag
    readers.world.now += 59_999
    assert [one.id for one in readers.entries(A)] == [entry]
    readers.world.now += 1
    assert readers.entries(A) == []
    readers.mark(A, entry, Mark.SEEN)
    assert readers.world.decisions(A)[0].outcomes == []
    expired = readers.view(A)
    assert expired is not None
    assert (expired.n_unread, expired.tag != tag) == (0, True)


def test_who_knows_the_tag_is_shown_nothing_until_something_changes(readers: Readers) -> None:
    entry = readers.put(A)
    found = readers.view(A)
    assert found is not None
    assert found.entries is not None
    again = readers.view(A, found.tag)
    assert again is not None
    assert (again.entries, again.tag) == (None, found.tag)
    readers.mark(A, entry, Mark.SEEN)
    changed = readers.view(A, found.tag)
    assert changed is not None
    assert changed.entries is not None
    assert changed.tag != found.tag


def test_a_full_inbox_lets_the_oldest_that_was_read_go_then_the_oldest(readers: Readers) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inboxes, "KEEP", 3)
        first, second, third = (readers.put(A) for _ in range(3))
        readers.mark(A, second, Mark.READ)
        fourth = readers.put(A)
        assert {one.id for one in readers.entries(A)} == {first, third, fourth}
        fifth = readers.put(A)
        assert {one.id for one in readers.entries(A)} == {third, fourth, fifth}
        assert readers.tenant(A).counters["dropped.inbox_full"] == 2


def test_a_message_on_its_way_during_a_merge_follows_its_user(readers: Readers) -> None:
    readers.put(A)
    readers.ask(A)
    readers.world.send(event(BOB, type="alias", previous=ANN, at=readers.world.now))
    readers.world.deliver()
    assert len(readers.entries(B)) == 1
    readers.receive(message("late"))
    readers.world.deliver()
    assert {msgspec.json.decode(one.message)["body"] for one in readers.entries(B)} == {"Ada", "late"}
    readers.world.check()


def test_two_inboxes_that_become_one_keep_the_newest_of_both(readers: Readers) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inboxes, "KEEP", 3)
        put = [readers.put(key) for key in (A, B, A, B)]
        readers.world.send(event(BOB, type="alias", previous=ANN, at=readers.world.now))
        readers.world.deliver()
        assert [one.id for one in readers.entries(B)] == put[:0:-1]
        assert readers.tenant(B).counters["dropped.inbox_full"] == 1
        readers.world.check()


def test_erasure_takes_the_inbox_of_every_joined_key(readers: Readers) -> None:
    readers.put(A)
    readers.world.send(event(BOB, type="alias", previous=ANN, at=readers.world.now))
    readers.world.deliver()
    readers.put(B)
    readers.world.now += 1
    readers.world.erase(B)
    readers.world.deliver()
    assert readers.view(A) is None
    assert readers.view(B) is None
    assert b"Ada" not in snapshot.dump(readers.world.shards[readers.shard(B)])[0]


def test_a_user_who_has_none_costs_nothing(readers: Readers) -> None:
    assert readers.tenant(C).loop.engagements == {}
    found = readers.view(C)
    assert found is not None
    assert (found.entries, found.n_unread) == ([], 0)


STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.sampled_from([0, 0, 60])),
    st.tuples(st.just("ask"), st.sampled_from(KEYS)),
    st.tuples(st.just("receive")),
    st.tuples(st.just("mark"), st.sampled_from(KEYS), st.integers(0, 5), st.sampled_from(Mark)),
    st.tuples(st.just("all"), st.sampled_from(KEYS), st.sampled_from([Mark.READ, Mark.ARCHIVE])),
    st.tuples(st.just("time"), st.sampled_from([1, 30_000, 20 * MINUTE])),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=25), cuts=st.sets(st.integers(0, 200)))
def test_how_records_are_batched_does_not_matter(steps: list[tuple[Any, ...]], cuts: set[int]) -> None:
    readers = Readers(ANN, BOB, CYD, n=1)
    for step in steps:
        take(readers, step)
    records = list(readers.world.records(0))
    other = Shard(0)
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    for start, stop in itertools.pairwise(edges):
        other.apply(records[start:stop])
        other = snapshot.load(*snapshot.dump(other), DEFAULT_MAX_IDS)
    assert inspection.digest(other) == inspection.digest(readers.world.shards[0])


def take(readers: Readers, step: tuple[Any, ...]) -> None:
    match step:
        case ("put", key, expires_in_s):
            readers.ask(key)
            readers.receive(message(expires_in_s=expires_in_s))
        case ("ask", key):
            readers.ask(key)
        case ("receive",):
            readers.receive(message())
        case ("mark", key, place, mark):
            entries = readers.entries(key)
            readers.mark(key, entries[place % len(entries)].id if entries else "dec_none", mark, place % 2)
        case ("all", key, mark):
            readers.mark(key, "", mark)
        case ("time", passed):
            readers.world.tick(readers.world.now + passed)


class Inboxes(RuleBasedStateMachine):
    """Against a model: a dict of entries per person, in plain Python.

    The last message of a run is on its way across steps, so that merges, moves and erasures fall before its receipt.
    """

    MOST = 2

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(inboxes, "KEEP", self.MOST)
        self.readers = Readers(ANN, BOB, CYD)
        self.root = {key: key for key in KEYS}
        self.held: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in KEYS}
        self.way: str | None = None

    def teardown(self) -> None:
        self.readers.world.check()
        self.patch.undo()

    # -- the model ----------------------------------------------------------------------------------------------------

    def lives(self, key: str) -> str:
        while self.root[key] != key:
            key = self.root[key]
        return key

    def alive(self, key: str) -> dict[str, dict[str, Any]]:
        now = self.readers.world.now
        return {id: e for id, e in self.held[key].items() if e["expires_at"] is None or e["expires_at"] > now}

    def fit(self, key: str) -> None:
        held = self.alive(key)
        order = sorted(held, key=lambda id: (not (held[id]["read"] or held[id]["archived"]), held[id]["at"], id))
        self.held[key] = {id: held[id] for id in order[max(0, len(order) - self.MOST) :]}

    # -- what happens -------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.readers.world.now += 1

    @rule(key=st.sampled_from(KEYS), expires_in_s=st.sampled_from([0, 0, 60]))
    def sent(self, key: str, expires_in_s: int) -> None:
        user = self.lives(key)
        if self.way is not None and self.lives(self.way) == user:
            return
        self.readers.world.now += 1
        self.readers.ask(user)
        self._receive(user, expires_in_s)

    @precondition(lambda self: self.way is None)
    @rule(key=st.sampled_from(KEYS))
    def begun(self, key: str) -> None:
        self.readers.world.now += 1
        self.readers.ask(self.lives(key))
        self.way = self.lives(key) if self.readers.world.under_way else None

    @rule()
    def answered(self) -> None:
        if self.way is not None:
            user, self.way = self.lives(self.way), None
            self.readers.world.now += 1
            self._receive(user, 0)

    def _receive(self, user: str, expires_in_s: int) -> None:
        world = self.readers.world
        decision = world.under_way[-1]
        self.readers.receive(message(expires_in_s=expires_in_s), n=1)
        world.deliver()
        expires_at = world.now + expires_in_s * 1000 if expires_in_s else None
        self.held[user][decision] = {
            "at": world.now,
            "expires_at": expires_at,
            "read": False,
            "seen": False,
            "archived": False,
        }
        self.fit(user)

    @rule(key=st.sampled_from(KEYS), place=st.integers(0, 5), mark=st.sampled_from(Mark))
    def marked(self, key: str, place: int, mark: Mark) -> None:
        user = self.lives(key)
        alive = self.alive(user)
        if not alive:
            return
        id = sorted(alive)[place % len(alive)]
        self.readers.world.now += 1
        self.readers.mark(user, id, mark)
        if id not in self.alive(user):
            return
        entry = self.held[user][id]
        entry["seen"] |= mark in (Mark.SEEN, Mark.READ, Mark.CLICK)
        entry["read"] = (entry["read"] or mark in (Mark.READ, Mark.CLICK)) and mark != Mark.UNREAD
        entry["archived"] = (entry["archived"] or mark == Mark.ARCHIVE) and mark != Mark.UNARCHIVE

    @rule(key=st.sampled_from(KEYS))
    def all_read(self, key: str) -> None:
        user = self.lives(key)
        self.readers.mark(user, "", Mark.READ)
        for entry in self.alive(user).values():
            if not entry["archived"]:
                entry["read"] = True

    @rule(previous=st.sampled_from(KEYS), user=st.sampled_from(KEYS))
    def merged(self, previous: str, user: str) -> None:
        a, b = self.lives(previous), self.lives(user)
        if a == b or self.root[previous] != previous:
            return
        world = self.readers.world
        world.now += 1
        world.send(event(user[2:], type="alias", previous=previous[2:], at=world.now))
        world.deliver()
        self.root[a] = b
        self.held[b] |= self.held.pop(a)
        self.held[a] = {}
        self.fit(b)

    @rule(passed=st.sampled_from([1, 30_000, 61_000]))
    def time(self, passed: int) -> None:
        self.readers.world.tick(self.readers.world.now + passed)

    @precondition(lambda self: self.way is None)
    @rule(key=st.sampled_from(KEYS))
    def moved(self, key: str) -> None:
        move(self.readers.world, partition_of(key, SEED), next(self.readers.map_version))

    @rule(shard=st.integers(0, 1))
    def recovered(self, shard: int) -> None:
        world = self.readers.world
        before = inspection.digest(world.shards[shard])
        world.shards[shard] = snapshot.load(*snapshot.dump(world.shards[shard]), DEFAULT_MAX_IDS)
        assert inspection.digest(world.shards[shard]) == before

    @invariant()
    def everybody_sees_their_own(self) -> None:
        for key in KEYS:
            user = self.lives(key)
            expected = {id: (e["seen"], e["read"], e["archived"]) for id, e in self.alive(user).items()}
            found = {
                one.id: (one.seen_at is not None, one.read_at is not None, one.archived_at is not None)
                for one in self.readers.entries(key)
            }
            assert found == expected, key

    @invariant()
    def what_was_seen_is_opened_once(self) -> None:
        for key in KEYS:
            user = self.lives(key)
            opened = {
                decision.id
                for decision in self.readers.world.decisions(user)
                for one in decision.outcomes
                if one.kind == OutcomeKind.OPENED
            }
            held = {decision.id for decision in self.readers.world.decisions(user)}
            assert {id for id, e in self.held[user].items() if e["seen"] and id in held} <= opened


Inboxes.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestInboxes = Inboxes.TestCase
