"""A shard that is emptied: it takes nothing new, and its sums go on elsewhere, once."""

from __future__ import annotations

from tests.support.shard_world import SEED, TENANT, World, event
from whisperer.ids import partition_of
from whisperer.shard import snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.move import closing
from whisperer.shard.records import ShardClosed


def test_a_closed_shard_is_open_to_what_it_holds_and_to_what_is_moved_there(world: World) -> None:
    world.send(event("ann"))
    place = partition_of("u:ann", SEED)
    shard = world.shards[world.home(place)]
    strange = (place + 2) % 64
    assert shard.is_open_to(TENANT, strange)
    world.write(world.home(place), ShardClosed())
    assert shard.is_open_to(TENANT, place)
    assert not shard.is_open_to(TENANT, strange)
    assert not shard.is_open_to("tn_new", place)
    shard.moved[TENANT, strange] = 2
    assert shard.is_open_to(TENANT, strange)
    del shard.moved[TENANT, strange]


def test_a_closed_shard_stays_closed_after_a_restart(world: World) -> None:
    world.send(event("ann"))
    place = partition_of("u:ann", SEED)
    world.write(world.home(place), ShardClosed())
    again = snapshot.load(*snapshot.dump(world.shards[world.home(place)]), DEFAULT_MAX_IDS)
    assert again.is_open_to(TENANT, place)
    assert not again.is_open_to(TENANT, (place + 2) % 64)


def test_a_partition_that_only_heard_of_somebody_is_held_as_well(world: World) -> None:
    """An anonymous id that was claimed before it was ever seen: who owns it must not be forgotten."""
    world.send(event("ann", anonymous="dev"))
    world.deliver()
    home = partition_of("a:dev", SEED)
    assert home in closing.held(world.shards[world.home(home)].tenant(TENANT))


def test_sums_of_a_removed_shard_are_taken_over_once(world: World) -> None:
    world.send(event("ann"), event("bob"), event("cyd"))
    first, second = (shard.tenant(TENANT).counters for shard in world.shards)
    total = first["events_accepted"] + second["events_accepted"]
    for _ in range(2):
        for joined in closing.counts(world.shards[0]):
            world.write(1, joined)
    assert second["events_accepted"] == total == 3
