"""Users asked for together are shown as each would be alone, with the events that are in memory and nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from actors.shard import payloads as module
from actors.shard.payloads import Payloads
from actors.shard.showing import MOST_A_TURN, Showing
from tests.support.shard_world import DAY, T0, TENANT, World, event
from whisperer.shard import inspection
from whisperer.shard.records import Events
from whisperer.shard.views.user import UserView

USERS = [f"user-{n}" for n in range(2 * MOST_A_TURN + 5)]


@pytest.fixture
def world() -> World:
    made = World(n=1)
    for turn in range(3):
        made.send(*(event(user, id=f"{user}/{turn}", at=T0 + turn) for user in USERS))
    return made


def remembered(world: World) -> Payloads:
    found = Payloads(Any)  # type: ignore[arg-type]  # nothing is read from the journal
    for position, record in world.records(0):
        if isinstance(record.body, Events):
            found.remember(position, record.body.block)
    return found


def without_events(view: UserView | None) -> UserView | None:
    return None if view is None else msgspec.structs.replace(view, recent=[], shown_by=-1)


async def test_users_asked_for_together_are_shown_as_each_would_be_alone(world: World) -> None:
    showing = Showing(0, world.shards[0], remembered(world))
    asked = [(f"u:{user}", as_of) for user in (*USERS, "nobody", USERS[0]) for as_of in (None, T0 + 86_400_000)]
    shown = await asyncio.gather(*(showing.user(TENANT, key, as_of) for key, as_of in asked))
    alone = [inspection.user(world.shards[0], TENANT, key, as_of) for key, as_of in asked]
    assert [without_events(view) for view in shown] == alone
    assert alone.count(None) == 2
    for view in shown:
        if view is not None:
            ids = [event and event.message_id for event in view.recent]
            assert ids == [f"{view.key[2:]}/{turn}" for turn in (2, 1, 0)]


async def test_where_a_key_leads_is_what_showing_its_user_begins_with() -> None:
    world = World(n=1)
    world.send(event(anonymous="device"), event("ann"))
    world.send(event("ann", anonymous="device"))
    world.deliver()
    shard = world.shards[0]
    led = {key: inspection.located(shard, TENANT, key) for key in ("u:ann", "a:device", "u:nobody")}
    assert led == {"u:ann": ("u:ann", None), "a:device": ("a:device", "u:ann"), "u:nobody": None}
    for key, found in led.items():
        view = inspection.user(shard, TENANT, key)
        assert (view and (view.key, view.moved_to)) == found
    assert inspection.located(shard, "tn_other", "u:ann") is None


async def test_who_was_seen_after_the_shards_time_is_shown_as_of_then(world: World) -> None:
    ahead_ms = 3 * DAY
    world.send(event("early", at=world.now + ahead_ms))
    showing = Showing(0, world.shards[0], remembered(world))
    early, other = await asyncio.gather(*(showing.user(TENANT, key, None) for key in ("u:early", "u:user-1")))
    assert early is not None
    assert other is not None
    assert early.features["recency_days"] == 0
    assert other.features["recency_days"] == round((world.shards[0].now - (T0 + 2)) / DAY, 6)


async def test_without_events_nothing_is_unpacked(world: World) -> None:
    events = remembered(world)
    shown = await Showing(0, world.shards[0], events).user(TENANT, "u:user-1", None, with_events=False)
    assert shown is not None
    assert (shown.recent, len(shown.timeline), len(events._unpacked)) == ([], 3, 0)


async def test_another_tenants_users_and_events_are_not_there(world: World) -> None:
    events = remembered(world)
    showing = Showing(0, world.shards[0], events)
    shown = await showing.user(TENANT, "u:user-1", None)
    assert shown is not None
    references = [entry.reference for entry in shown.timeline]
    assert None not in events.recent(TENANT, references)
    assert events.recent("tn_other", references) == [None] * 3
    assert await showing.user("tn_other", "u:user-1", None) is None


async def test_who_gives_up_disturbs_nobody(world: World) -> None:
    showing = Showing(0, world.shards[0], remembered(world))
    impatient = asyncio.ensure_future(showing.user(TENANT, "u:user-1", None))
    patient = asyncio.ensure_future(showing.user(TENANT, "u:user-1", None))
    await asyncio.sleep(0)
    impatient.cancel()
    found = await patient
    assert found is not None
    assert found.key == "u:user-1"


def test_what_is_kept_unpacked_is_bounded_and_what_was_dropped_is_unpacked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNPACKED_BYTES", 30_000)
    events, shard = remembered(world), world.shards[0]
    for _ in range(2):
        for user in USERS:
            view = inspection.user(shard, TENANT, f"u:{user}")
            assert view is not None
            found = events.recent(TENANT, [entry.reference for entry in view.timeline])
            assert [event and event.message_id for event in found] == [f"{user}/{turn}" for turn in (2, 1, 0)]
            assert events._unpacked_bytes == sum(size for _, size in events._unpacked.values()) <= 30_000
    assert len(events._unpacked) < 3
