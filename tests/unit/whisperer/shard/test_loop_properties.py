"""Whatever happens, in whatever order: the sums balance, replay agrees, nothing is sent twice, everything ends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, SEED, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, BY_EVENT, BY_SEGMENT, DAILY, MINUTE, ON_REQUEST
from whisperer.decisions.decision import NO_SEND
from whisperer.delivery.dispatch import Verdict
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.shard import inspection, snapshot
from whisperer.shard.decision import outcomes, triggers
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.move.packing import extract
from whisperer.shard.records import (
    Asked,
    ConsentStated,
    Outcome,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
    Replays,
    RewardsTaken,
)

USERS = ("ann", "bob", "cyd")
KEYS = (*(f"u:{u}" for u in USERS), "a:dev", "a:tab")
CAMPAIGNS = (BY_EVENT, BY_SEGMENT, DAILY, ON_REQUEST)

STEP = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(USERS), st.sampled_from([None, None, "dev", "tab"]), st.sampled_from(["Looked", "Bought", "Seen"])),
    st.tuples(st.just("anonymous"), st.sampled_from(["dev", "tab"]), st.sampled_from(["Looked", "Bought"])),
    st.tuples(st.just("identify"), st.sampled_from(USERS), st.sampled_from(["pro", "free"]), st.sampled_from(["", "Asia/Tokyo"])),
    st.tuples(st.just("alias"), st.sampled_from(USERS), st.sampled_from(USERS)),
    st.tuples(st.just("ask"), st.sampled_from(KEYS), st.integers(0, 3)),
    st.tuples(st.just("decide"), st.sampled_from(["mail", "text", NO_SEND, ""])),
    st.tuples(st.just("receipt"), st.sampled_from([Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.RETRY, Verdict.BOUNCED, Verdict.REJECTED, Verdict.UNKNOWN]), st.booleans()),
    st.tuples(st.just("outcome"), st.sampled_from(KEYS), st.sampled_from([kind for kind in OutcomeKind if kind != OutcomeKind.CONVERTED]), st.sampled_from(["", "https://a.example/", "https://b.example/"]), st.integers(0, 3_000)),
    st.tuples(st.just("consent"), st.sampled_from(KEYS), st.booleans()),
    st.tuples(st.just("time"), st.sampled_from([1, MINUTE, 20 * MINUTE, DAY // 3])),
    st.tuples(st.just("carry"), st.booleans()),
    st.tuples(st.just("erase"), st.sampled_from(KEYS)),
    st.tuples(st.just("move"), st.sampled_from(KEYS)),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("learn"),),
    st.tuples(st.just("replay"), st.sampled_from(KEYS)),
)  # fmt: skip


class Life:
    """A world, and what may be said of all its steps together."""

    def __init__(self) -> None:
        self.world = World()
        self.version = itertools.count(1)
        self.map_version = itertools.count(2)
        self.accepted: list[str] = []
        self.publish("live")
        for key in KEYS:
            user, anonymous = (key[2:], None) if key.startswith("u:") else (None, key[2:])
            self.world.send(event(user, anonymous=anonymous, type="identify", traits=ADDRESSES))

    def publish(self, status: str) -> None:
        pros = {"trait": "plan", "op": "eq", "value": "pro"}
        self.world.publish_campaigns(next(self.version), *CAMPAIGNS, status=status, pros=pros)

    def take(self, step: tuple[Any, ...]) -> None:
        world = self.world
        match step:
            case ("event", user, anonymous, name):
                world.send(event(user, anonymous=anonymous, name=name, at=world.now, revenue=2))
            case ("anonymous", anonymous, name):
                world.send(event(anonymous=anonymous, name=name, at=world.now))
            case ("identify", user, plan, zone):
                world.send(event(user, type="identify", traits={**ADDRESSES, "plan": plan}, zone=zone, at=world.now))
            case ("alias", user, previous) if user != previous:
                world.send(event(user, type="alias", previous=previous, at=world.now))
            case ("ask", key, occurrence):
                world.write(self.home(key), Asked(TENANT, "asked", [(key, str(occurrence))]))
            case ("decide", arm):
                world.decide(lambda candidate: arm if arm in candidate.arms else "")
            case ("receipt", status, repeatable):
                keys = world.deliver_messages(status, repeatable=repeatable)
                self.accepted += (
                    keys if status == Verdict.ACCEPTED or (status == Verdict.UNKNOWN and not repeatable) else []
                )
            case ("outcome", key, kind, detail, ago):
                ids = [d.id for d in world.decisions(key)][-1:] or ["dec_unknown"]
                outcome = Outcome(key, ids[0], kind, world.now - ago, detail, "email", "marketing", b"", 2, DAY)
                world.write(self.home(key), Outcomes(TENANT, [outcome]))
            case ("consent", key, granted):
                world.write(self.home(key), ConsentStated(TENANT, key, "email", "marketing", granted, "test"))
            case ("time", passed):
                world.tick(world.now + passed)
            case ("carry", again):
                world.deliver(again=again)
            case ("erase", key):
                world.erase(key)
            case ("move", key):
                self.move(partition_of(key, SEED))
            case ("pause", paused):
                self.publish("paused" if paused else "live")
            case ("replay", key):
                wanted = [one.id for one in world.decisions(key)]
                world.write(self.home(key), Replays(TENANT, wanted))
            case ("learn",):
                for shard in range(world.n):
                    log = world.shards[shard].tenant(TENANT).loop.rewards
                    world.write(shard, RewardsTaken(TENANT, log.next))

    def home(self, key: str) -> int:
        return self.world.home(partition_of(key, SEED))

    def move(self, partition: int) -> None:
        world, version = self.world, next(self.map_version)
        source = world.home(partition)
        state = extract(world.shards[source], TENANT, partition)
        world.write(source, PartitionLeft(TENANT, partition, version))
        world.place[partition] = 1 - source
        world.write(1 - source, PartitionJoined(TENANT, partition, version, state))

    def finish(self) -> None:
        """Carry everything to its end, as the actors would."""
        world = self.world
        world.deliver()
        for _ in range(3):
            world.decide(lambda candidate: candidate.arms[-1])
            self.accepted += world.deliver_messages()
            world.deliver()
            world.tick(world.now + 2 * DAY)  # past every retry, deadline and window
        world.decide(lambda _: NO_SEND)
        self.accepted += world.deliver_messages()
        world.deliver()
        world.tick(world.now + DAY // 2)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_the_sums_balance_replay_agrees_and_nothing_is_sent_twice(steps: list[tuple[Any, ...]]) -> None:
    life = Life()
    for step in steps:
        life.take(step)
        for shard in life.world.shards:
            inspection.check(shard)
    life.finish()
    life.world.check()
    assert len(life.accepted) == len(set(life.accepted))
    left = [d for s in life.world.shards for t in s.tenants.values() for _, d in t.loop.every_open()]
    daily = [d for d in left if d.trigger == "schedule"]  # a schedule may have fired with the last tick
    assert left == daily


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=30))
def test_a_snapshot_holds_all_of_it(steps: list[tuple[Any, ...]]) -> None:
    life = Life()
    for step in steps:
        life.take(step)
        for number, shard in enumerate(life.world.shards):
            copy = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
            assert inspection.digest(copy) == inspection.digest(shard)
            life.world.shards[number] = copy
    life.finish()
    life.world.check()


@settings(max_examples=60, deadline=None)
@given(
    stream=st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(["Looked", "Bought", "Seen"])), max_size=20),
    cuts=st.sets(st.integers(0, 20)),
)
def test_the_size_of_batches_does_not_matter_to_candidates(stream: list[tuple[str, str]], cuts: set[int]) -> None:
    ends = []
    for parts in ([0, len(stream)], sorted({0, len(stream), *(c for c in cuts if c < len(stream))})):
        world = World(n=1)
        world.publish_campaigns(1, *CAMPAIGNS, pros={"event": "Bought", "count": 2})
        world.send(*(event(u, type="identify", traits=ADDRESSES, id=f"i{u}") for u in USERS))
        for start, stop in itertools.pairwise(parts):
            world.send(*(event(u, name=n, id=f"m{i}") for i, (u, n) in enumerate(stream[start:stop], start)))
        world.check()
        asked = [(c.decision_id, c.features[:2]) for c in world.asked]
        ends.append((asked, [world.decisions(f"u:{u}") for u in USERS]))
    assert ends[0] == ends[1]


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEP, max_size=30))
def test_however_little_a_tick_does_it_does_the_same_after_a_snapshot(steps: list[tuple[Any, ...]]) -> None:
    """A queue made anew has no entries that are out of date; the one of a long life has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "DUE_AT_ONCE", 1)
        patch.setattr(triggers, "AT_ONCE", 1)
        life = Life()
        for step in steps:
            life.take(step)
            for number, shard in enumerate(life.world.shards):
                life.world.shards[number] = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
        while any(shard.wants_tick(life.world.now) for shard in life.world.shards):
            life.world.tick()
        life.world.check()
