"""The chain of letters from one partition to another: a target applies each link once, and none without those before."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.shard_world import SEED, TENANT, World, event
from tests.unit.whisperer.shard.moves import Move, move
from whisperer.ids import partition_of
from whisperer.shard import snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.records import (
    CHAINED_SINCE,
    AliasForget,
    Letter,
    LettersArrived,
    Record,
    ShardClosed,
    decode_record,
    encode_record,
)

SOURCE, TARGET = 5, 8
PAIR = (SOURCE, TARGET)
DEVICE = partition_of("a:dev", SEED)


def letters(world: World, n: int) -> list[Letter]:
    tenant = world.shards[world.home(SOURCE)].tenant(TENANT)
    made = [tenant.post(SOURCE, TARGET, AliasForget(f"u:{i}")) for i in range(n)]
    tenant.letters.clear()  # the world's journals know nothing of them
    return made


def applied(world: World, *sent: Letter) -> int:
    """Sequence of the last letter of the pair that the target has after these."""
    world.write(world.home(TARGET), LettersArrived(list(sent)))
    return world.shards[world.home(TARGET)].tenant(TENANT).cursors.get((TARGET, SOURCE), 0)


def scene() -> World:
    """Nothing here is replayed: letters come from nowhere."""
    return World()


def test_each_letter_names_the_one_before_it_of_its_pair() -> None:
    tenant = scene().shards[1].tenant(TENANT)
    made = [tenant.post(5, target, AliasForget("u:x")) for target in (8, 9, 8, 8, 9)]
    assert [(m.target, m.sequence, m.after) for m in made] == [(8, 1, 0), (9, 2, 0), (8, 3, 1), (8, 4, 3), (9, 5, 2)]


def test_what_comes_before_an_earlier_letter_is_not_applied_nor_taken_for_a_repeat_later() -> None:
    world = scene()
    first, second, third = letters(world, 3)
    assert applied(world, first, third) == first.sequence
    assert applied(world, third) == first.sequence
    assert applied(world, second, third) == third.sequence
    assert applied(world, first, second) == third.sequence


def test_a_letter_of_an_older_release_names_none_before_it_and_is_applied_as_it_was_then() -> None:
    world = scene()
    first, _, third = letters(world, 3)
    wire = msgspec.msgpack.encode(third)
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(wire)[:5])
    assert applied(world, first, msgspec.msgpack.decode(old, type=Letter)) == third.sequence


@pytest.mark.parametrize("why", ["left", "closed"])
def test_a_letter_queued_behind_its_targets_departure_changes_nothing_there(why: str) -> None:
    world = scene()
    first, second = letters(world, 2)
    assert why == "closed" or applied(world, first) == first.sequence
    old_home = world.shards[world.home(TARGET)]
    if why == "left":
        Move(world, TARGET, 2).freeze()
        assert applied(world, second) == first.sequence
    else:
        world.write(old_home.id, ShardClosed())
        assert applied(world, first) == 0


def test_what_an_older_release_journaled_behind_a_departure_is_replayed_as_it_was() -> None:
    world = scene()
    first, second = letters(world, 2)
    applied(world, first)
    Move(world, TARGET, 2).freeze()
    old_home = world.shards[world.home(TARGET)]
    record = decode_record(encode_record(Record(CHAINED_SINCE - 1, 1, world.now, LettersArrived([second]))))
    old_home.apply([(99, record)])
    assert old_home.tenant(TENANT).cursors[TARGET, SOURCE] == second.sequence


def test_the_chain_goes_along_with_its_source_and_with_its_target(world: World) -> None:
    world.send(event("ann", anonymous="dev", type="identify", id="i"))
    for n in range(3):
        world.send(event(anonymous="dev", id=f"a{n}"))
    world.deliver()
    move(world, DEVICE, 2)
    world.send(event(anonymous="dev", id="a3"))
    move(world, partition_of("u:ann", SEED), 3)
    world.deliver()
    move(world, DEVICE, 4)
    world.send(event(anonymous="dev", id="a4"))
    assert all(message.after > 0 for message in world.wire)
    world.deliver()
    found = world.user("u:ann")
    assert found is not None
    assert found.event_counts == {"Clicked": 5, "$identify": 1}


def test_the_chain_is_in_the_snapshot_and_of_an_older_ones_outbox() -> None:
    world = World()
    world.send(event("ann", anonymous="dev", type="identify", id="i"))
    world.deliver()
    for n in range(3):
        world.send(event(anonymous="dev", id=f"a{n}"))
    shard = world.shards[world.home(DEVICE)]
    chain = shard.tenant(TENANT).chain
    meta, tables = snapshot.dump(shard)
    assert snapshot.load(meta, tables, DEFAULT_MAX_IDS).tenant(TENANT).chain == chain
    stored = msgspec.msgpack.decode(meta)
    for tenant in stored["tenants"]:
        del tenant["chain"]
    older = snapshot.load(msgspec.msgpack.encode(stored), tables, DEFAULT_MAX_IDS).tenant(TENANT)
    pair = (DEVICE, partition_of("u:ann", SEED))
    assert older.chain == {pair: chain[pair]}
