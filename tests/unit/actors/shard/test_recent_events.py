"""A user's latest events as a message has them: tracked ones that this shard has in memory, newest first, the same as
a preview takes from what the shard shows.
"""

from __future__ import annotations

import pytest

from actors.shard import payloads as module
from actors.shard.recent_events import RecentEvents
from actors.shard.showing import Showing
from serve_apps.gateway.services.preview import recent_of
from tests.support.shard_world import T0, TENANT, World, event
from tests.unit.actors.shard.test_showing import remembered
from whisperer.content.recent import MOST_RECENT, RecentEvent


def row_of(world: World, key: str) -> int:
    row = world.shards[0].tenant(TENANT).people.keys.get(key)
    assert row is not None
    return row


async def test_a_message_has_the_events_that_a_preview_has() -> None:
    world = World(n=1)
    for turn in range(MOST_RECENT + 5):
        name, type = ("Product Viewed", "track") if turn % 2 else ("home", "page")
        world.send(event("ann", name=name, type=type, at=T0 + turn), event("bob", name="Other", at=T0 + turn))
    held = remembered(world)
    found = RecentEvents(0, world.shards[0], held).of(TENANT, row_of(world, "u:ann"))
    assert [(one.name, one.at) for one in found] == [
        ("Product Viewed", T0 + turn) for turn in range(MOST_RECENT + 4, -1, -1) if turn % 2
    ]
    view = await Showing(0, world.shards[0], held).user(TENANT, "u:ann", None)
    assert view is not None
    assert recent_of(view) == found
    many = RecentEvents(0, world.shards[0], held).of(TENANT, row_of(world, "u:bob"))
    assert len(many) == MOST_RECENT


def test_what_is_not_in_memory_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(n=1)
    world.send(event("ann", name="Old"))
    world.send(event("ann", name="New"))
    monkeypatch.setattr(module, "RECENT_BYTES", 1)
    row = row_of(world, "u:ann")
    assert RecentEvents(0, world.shards[0], remembered(world)).of(TENANT, row) == []
    monkeypatch.undo()
    elsewhere = RecentEvents(7, world.shards[0], remembered(world))
    assert elsewhere.of(TENANT, row) == []
    here = RecentEvents(0, world.shards[0], remembered(world)).of(TENANT, row)
    assert [one.name for one in here] == ["New", "Old"]
    assert isinstance(here[0], RecentEvent)
