"""A broken invariant says what led to it, and an effect which record asked for it."""

from __future__ import annotations

import pytest

from tests.support.shard_world import SEED, TENANT, World, event
from whisperer.errors import InvariantError
from whisperer.ids import known_key, partition_of
from whisperer.shard.effects import SegmentChanged
from whisperer.shard.records import Erase
from whisperer.shard.story import MOST_LINES, story

KEY = known_key("ann")


def test_a_broken_invariant_carries_the_last_records_of_its_user() -> None:
    world = World(1)
    world.send(event("ann", name="Bought"))
    world.send(event("bob", name="Left"))
    tenant = world.shards[0].tenants[TENANT]
    row = tenant.people.keys.get(KEY)
    assert row is not None
    tenant.people.table["partition"][row] += 1
    with pytest.raises(InvariantError, match="not in its partition") as broken:
        world.check()
    assert (broken.value.tenant, broken.value.user) == (TENANT, KEY)
    [line] = broken.value.__notes__
    assert "1 events: 'Bought'" in line


def test_a_story_has_letters_and_orders_and_an_end() -> None:
    world = World(2)
    world.send(event("ann", anonymous="device"))
    world.deliver()
    home = world.home(partition_of(KEY, SEED))
    world.write(home, Erase(TENANT, KEY))
    told = story(world.records(home), TENANT, KEY)
    assert "1 events" in told[0]
    assert any("Erase(" in line for line in told)
    assert story(world.records(home), "tn_other", KEY) == []
    for _ in range(2 * MOST_LINES):
        world.send(event("ann"))
    assert len(story(world.records(home), TENANT, KEY)) == MOST_LINES


def test_every_effect_names_the_record_that_asked_for_it() -> None:
    world = World(1)
    world.publish(1, buyers={"event": "Bought"})
    world.tick()
    world.send(event("ann", name="Bought"))
    assert world.changes == [SegmentChanged(TENANT, KEY, "buyers", 1, True, world.changes[0].at)]
    assert [effect.cause for effect in world.changes] == [len(world.journals[0]) - 1]


def test_a_record_that_cannot_be_applied_is_named() -> None:
    world = World(1)
    with pytest.raises(AttributeError) as broken:
        world.shards[0].apply([(7, _Odd())])  # type: ignore[list-item]
    assert any("position 7" in note for note in broken.value.__notes__)


class _Odd:
    """A record whose body says nothing of what applying it needs."""

    version, epoch, now = 5, 1, 0

    @property
    def body(self) -> Erase:
        return Erase(None, None)  # type: ignore[arg-type]
