"""A partition that moves while it serves: nothing of it is lost, doubled or seen twice, whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.moves import Move, move, rows
from tests.unit.whisperer.shard.test_replay import SEGMENTS, events
from whisperer.ids import partition_of
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.records import PartitionPart

PLACE = partition_of("u:ann", SEED)

USERS = [f"u:{u}" for u in ("ann", "bob", "cyd", "dan")] + ["a:a1", "a:a2"]


def _seen(world: World) -> list[Any]:
    views = [world.user(key) for key in USERS]
    return [v and (v.event_counts, v.features, v.segments, sorted(v.traits), v.anonymous_ids) for v in views]


@settings(max_examples=60, deadline=None)
@given(
    streams=st.lists(st.lists(events(), max_size=8), min_size=2, max_size=5),
    erased=st.sampled_from(["", *USERS]),
)
def test_users_who_change_while_their_partition_is_copied_arrive_as_they_are(
    streams: list[list[dict[str, Any]]], erased: str
) -> None:
    ends = []
    for moves in (False, True):
        world = World()
        world.publish(1, **SEGMENTS)
        world.send(*streams[0])

        def happens(stream: list[dict[str, Any]], world: World = world) -> None:
            world.send(*stream)
            world.deliver()
            if erased:
                world.erase(erased)

        for partition in sorted({partition_of(key, SEED) for key in USERS}):
            meanwhile = [lambda stream=stream: happens(stream) for stream in streams[1:]]
            if moves:
                move(world, partition, 2, *meanwhile)
            else:
                for step in meanwhile:
                    step()
        world.deliver()
        world.send(*streams[0])
        world.tick(T0 + DAY)
        world.deliver()
        world.check()
        ends.append(_seen(world))
    assert ends[0] == ends[1]


def test_the_old_home_forgets_what_the_new_one_has(world: World) -> None:
    world.send(*(event("ann", id=f"m{i}") for i in range(5)), event("ann", id="i1", type="identify", traits={"a": 1}))
    move(world, PLACE, 2)
    source, target = 1 - world.home(PLACE), world.home(PLACE)
    assert rows(world, source) == 0
    assert rows(world, target) == 1
    assert len(world.shards[source].dedup) == 0
    world.send(event("ann", id="m3"))
    found = world.user("u:ann")
    assert found is not None
    assert found.event_counts == {"Clicked": 5, "$identify": 1}


def test_rows_on_their_way_take_part_in_nothing(world: World) -> None:
    world.send(event("ann"))
    world.publish(1, clicked={"event": "Clicked"})
    under_way = Move(world, PLACE, 2)
    under_way.copy()
    target = world.shards[under_way.target]
    world.tick(T0 + 1)
    assert target.tenant(TENANT).n_users() == 0
    assert target.tenant(TENANT).segments.members(target.tenant(TENANT).people, "clicked") == 0
    under_way.freeze()
    source = world.shards[under_way.source]
    assert source.tenant(TENANT).n_users() == 0
    inspection.check(source)
    under_way.finish()
    world.tick(T0 + 2)
    assert target.tenant(TENANT).segments.members(target.tenant(TENANT).people, "clicked") == 1
    assert target.tenant(TENANT).n_users() == 1
    under_way.sweep()


def test_more_users_arrive_than_a_new_home_had_room_for(world: World) -> None:
    """Columns grow while rows are put in."""
    keys = [f"x{i}" for i in range(8_000) if partition_of(f"u:x{i}", SEED) == PLACE]
    assert len(keys) > 64
    world.send(*(event(key) for key in keys))
    move(world, PLACE, 2)
    found = [world.user(f"u:{key}") for key in keys]
    assert all(view is not None and view.event_counts == {"Clicked": 1} for view in found)


@pytest.mark.parametrize("crashed", ["source", "target"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_move_goes_on_after_a_crash_of_either_end(world: World, crashed: str, frozen: bool) -> None:
    world.send(event("ann", id="m1"), event("ann", id="i1", type="identify", traits={"a": 1}))
    under_way = Move(world, PLACE, 2)
    under_way.copy()
    world.send(event("ann", id="m2"))
    if frozen:
        under_way.freeze()
    shard = under_way.source if crashed == "source" else under_way.target
    tables = snapshot.dump(world.shards[shard])
    world.shards[shard] = snapshot.load(*tables, DEFAULT_MAX_IDS)
    if crashed == "source":
        under_way.begin()  # what was copied is known no more
    if not frozen:
        under_way.freeze()
    under_way.finish()
    under_way.sweep()
    world.send(event("ann", id="m2"))
    found = world.user("u:ann")
    assert found is not None
    assert found.event_counts == {"Clicked": 2, "$identify": 1}


def test_a_part_that_is_missing_is_noticed(world: World) -> None:
    world.send(event("ann"))
    under_way = Move(world, PLACE, 2)
    under_way.freeze()
    under_way.copying.pack(under_way.copying.changed())  # never sent
    under_way.finish()
    assert (TENANT, PLACE) not in world.shards[under_way.target].moved
    world.place[PLACE] = under_way.source
    under_way.begin()
    under_way.finish()
    assert world.user("u:ann") is not None


def test_a_partition_that_comes_back_before_it_was_forgotten_is_whole(world: World) -> None:
    world.send(event("ann"))
    there = Move(world, PLACE, 2)
    there.freeze()
    there.finish()
    world.send(event("ann"))
    there.copying.close()
    move(world, PLACE, 3)
    world.send(event("ann"))
    found = world.user("u:ann")
    assert found is not None
    assert found.event_counts == {"Clicked": 3}


def test_a_part_of_a_move_that_is_over_changes_nothing(world: World) -> None:
    world.send(event("ann"))
    under_way = Move(world, PLACE, 2)
    under_way.copy()
    under_way.freeze()
    under_way.finish()
    world.send(event("ann"))
    world.write(
        under_way.target, PartitionPart(TENANT, PLACE, 2, 0, under_way.copying.pack(under_way.copying.changed()))
    )
    found = world.user("u:ann")
    assert found is not None
    assert found.event_counts == {"Clicked": 2}
