"""The shard is a function of its journal, however the journal was batched."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, T0, World, event
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.move import packing
from whisperer.shard.records import PartitionJoined, PartitionLeft

USERS = st.sampled_from(["ann", "bob", "cyd", "dan"])
ANONYMOUS = st.sampled_from([None, None, "a1", "a2"])


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    user = draw(st.one_of(st.none(), USERS))
    anonymous = draw(ANONYMOUS) if user else draw(st.sampled_from(["a1", "a2"]))
    return event(
        user,
        anonymous=anonymous,
        type=draw(st.sampled_from(["track", "track", "identify", "page"])),
        name=draw(st.sampled_from(["Bought", "Looked"])),
        at=T0 + draw(st.integers(-120 * DAY, 0)),
        id=f"m{draw(st.integers(0, 40))}",
        revenue=draw(st.integers(-3, 3)),
        traits=draw(st.sampled_from([None, {"plan": "pro"}, {"plan": "free", "n": 1}])),
        active=draw(st.booleans()),
        locale=draw(st.sampled_from(["", "de", "ja"])),
    )


SEGMENTS = {
    "pros": {"trait": "plan", "op": "eq", "value": "pro"},
    "busy": {"event": "Bought", "count": 2, "days": 7},
    "quiet": {"seen": "not_within", "days": 14},
    "rich": {"feature": "revenue", "op": "gt", "value": 1},
}


@settings(max_examples=80, deadline=None)
@given(stream=st.lists(events(), max_size=30), cuts=st.sets(st.integers(0, 30)))
def test_the_size_of_batches_does_not_matter(stream: list[dict[str, Any]], cuts: set[int]) -> None:
    stream = [{**e, "anonymous": e["anonymous"] if not e["user"] else None} for e in stream]  # no merges: all exact
    outcomes = []
    for parts in ([0, len(stream)], sorted({0, len(stream), *(c for c in cuts if c < len(stream))})):
        world = World(n=1)
        world.publish(1, **SEGMENTS)
        for start, stop in itertools.pairwise(parts):
            world.send(*stream[start:stop])
        world.check()
        outcomes.append((inspection.profile_digest(world.shards[0]), world.changes))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=60, deadline=None)
@given(stream=st.lists(st.lists(events(), max_size=8), max_size=8), days=st.integers(0, 30))
def test_replaying_the_journal_reproduces_state_through_a_snapshot_too(
    stream: list[list[dict[str, Any]]], days: int
) -> None:
    world = World()
    world.publish(1, **SEGMENTS)
    for part in stream:
        world.send(*part)
        world.deliver()
        world.now += days * DAY // 3
        world.tick()
        for number, shard in enumerate(world.shards):
            copy = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
            assert inspection.digest(copy) == inspection.digest(shard)
            world.shards[number] = copy  # go on with what was read back
    world.check()


@settings(max_examples=40, deadline=None)
@given(stream=st.lists(events(), min_size=1, max_size=20))
def test_repeated_message_ids_change_nothing(stream: list[dict[str, Any]]) -> None:
    world = World()
    world.send(*stream)
    world.deliver()
    before = [inspection.profile_digest(shard) for shard in world.shards]
    world.send(*stream)
    world.send(*stream[::-1])
    world.deliver()
    world.check()
    assert [inspection.profile_digest(shard) for shard in world.shards] == before


@settings(max_examples=40, deadline=None)
@given(stream=st.lists(events(), min_size=1, max_size=20), then=st.lists(events(), max_size=10))
def test_a_partition_that_moves_keeps_everything(stream: list[dict[str, Any]], then: list[dict[str, Any]]) -> None:
    """Moved in the middle and not: the same users, the same repeats dropped, the same messages under way."""
    ends = []
    for moves in (False, True):
        world = World()
        world.publish(1, **SEGMENTS)
        world.send(*stream)
        if moves:
            for version, partition in enumerate(range(64), start=2):
                source, target = world.home(partition), 1 - world.home(partition)
                state = packing.extract(world.shards[source], "tn_test", partition)
                for _ in range(2):  # a move driven again changes nothing
                    world.write(source, PartitionLeft("tn_test", partition, version))
                    world.write(target, PartitionJoined("tn_test", partition, version, state))
                world.place[partition] = target
        world.deliver(again=True)
        world.send(*then)
        world.send(*stream)
        world.deliver()
        world.check()
        users = [world.user(f"u:{u}") for u in ("ann", "bob", "cyd", "dan")] + [world.user("a:a1"), world.user("a:a2")]
        ends.append([u and (u.event_counts, u.features, u.segments, sorted(u.traits), u.anonymous_ids) for u in users])
    assert ends[0] == ends[1]
