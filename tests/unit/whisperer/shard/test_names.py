"""A tenant's table of names: it never fills for good, never counts one name for another, and what is published counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import shard_world as worlds
from tests.support.shard_world import TENANT, World, event
from tests.unit.whisperer.shard.campaigns import campaign
from whisperer.journeys.campaign import OnEvent
from whisperer.profiles import history, names, population
from whisperer.profiles.names import Names
from whisperer.profiles.population import OTHER_NAME, RETIRE_EVERY_MS
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS

LIMIT = 64


@pytest.fixture(autouse=True)
def few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", LIMIT)
    monkeypatch.setattr(population, "SWEEP_ROWS", 3)


def flood(world: World, tag: str, n: int = 2 * LIMIT) -> None:
    world.send(*(event(f"{tag}{i % 7}", name=f"{tag} {i}", at=world.now) for i in range(n)))


def let_names_go(world: World) -> None:
    world.now += RETIRE_EVERY_MS
    while any(shard.wants_tick(world.now) for shard in world.shards):
        world.tick()


def test_a_flood_of_names_does_not_keep_new_names_out_for_good() -> None:
    world = World()
    flood(world, "noise")
    let_names_go(world)
    world.send(event("ada", name="Trial Started", at=world.now))
    user = world.user("u:ada")
    assert user is not None
    assert user.event_counts == {"Trial Started": 1}
    world.check()


def test_built_in_names_are_counted_while_the_table_is_full() -> None:
    world = World()
    flood(world, "noise")
    world.send(event("ada", type="identify", at=world.now))
    user = world.user("u:ada")
    assert user is not None
    assert user.event_counts == {"$identify": 1}


def test_a_segment_counts_a_name_that_is_published_while_the_table_is_full() -> None:
    world = World()
    flood(world, "noise")
    world.publish(1, starters={"event": "Trial Started", "days": 7})
    world.send(event("ada", name="Trial Started", at=world.now))
    user = world.user("u:ada")
    assert user is not None
    assert user.segments == ["starters"]


def test_a_campaign_fires_for_a_name_that_has_no_code() -> None:
    world = World()
    world.publish_campaigns(1, campaign("welcome", OnEvent("Trial Started")))
    for shard in world.shards:
        tenant = shard.tenant(TENANT)
        tenant.people.names.pinned = frozenset()  # as if published configuration used more names than are kept
    flood(world, "noise")
    world.send(event("ada", name="Trial Started", at=world.now))
    assert [decision.campaign for decision in world.decisions("u:ada")] == ["welcome"]


def test_what_is_used_most_stays_and_published_names_always_do() -> None:
    world = World(n=1)
    world.publish(1, rare={"event": "Rare", "days": 7})
    world.send(event("ada", name="Rare", at=world.now), *(event("ada", name="Often", at=world.now) for _ in range(9)))
    for n in range(20):
        flood(world, f"noise{n}-")
        let_names_go(world)
        world.send(*(event("ada", name="Often", at=world.now) for _ in range(9)))
    user = world.user("u:ada")
    assert user is not None
    assert user.event_counts == {"Rare": 1, "Often": 189}
    counters = world.shards[0].tenant(TENANT).counters
    assert counters["names_retired"] > 0
    assert counters["events_unnamed"] > 0
    world.check()


def test_names_are_let_go_once_in_ten_minutes_at_most() -> None:
    world = World(n=1)
    flood(world, "noise")
    let_names_go(world)
    flood(world, "more")
    assert not world.shards[0].wants_tick(world.now + RETIRE_EVERY_MS - 1)
    assert world.shards[0].wants_tick(world.now + RETIRE_EVERY_MS)


steps = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 5), st.integers(0, 60), st.integers(1, 30)),
    st.tuples(st.just("tick"), st.integers(1, 3), st.just(0), st.just(0)),
    st.tuples(st.just("merge"), st.integers(0, 5), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("reload"), st.just(0), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(steps, max_size=25))
def test_no_event_is_ever_counted_under_another_name(story: list[tuple[str, int, int, int]]) -> None:
    """Whatever is retired, freed, taken again, merged, read back and however far a sweep has come."""
    world = World(n=1)
    world.publish(1, pinned={"event": "name 3", "days": 7})
    sent: dict[str, Counter[str]] = defaultdict(Counter)
    names_of: dict[tuple[str, int], set[str]] = defaultdict(set)
    for what, one, other, n in story:
        world.now += 1_000
        if what == "send":
            user = f"user{one}"
            events: list[dict[str, Any]] = [
                event(user, name=f"name {i % 90}", at=world.now + i) for i in range(other, other + n)
            ]
            world.send(*events)
            for e in events:
                sent[user][e["name"]] += 1
                names_of[user, e["at"]].add(e["name"])
        elif what == "tick":
            world.now += RETIRE_EVERY_MS
            for _ in range(one):
                world.tick()
        elif what == "reload":
            world.shards[0] = snapshot.load(*snapshot.dump(world.shards[0]), DEFAULT_MAX_IDS)
        world.deliver()
    for user, counted in sent.items():
        found = world.user(f"u:{user}")
        assert found is not None
        assert sum(found.event_counts.values()) == counted.total()
        for name, count in found.event_counts.items():
            assert name == OTHER_NAME or count <= counted[name]
        if counted["name 3"]:
            assert found.event_counts["name 3"] == counted["name 3"]
        for entry in found.timeline:
            assert entry.name in names_of[user, entry.timestamp] | {OTHER_NAME, "pinned"}
    world.check()


def test_records_of_earlier_releases_fill_the_table_as_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "RECORD_VERSION", 4)
    world = World(n=1)
    world.publish_campaigns(1, campaign("welcome", OnEvent("Trial Started")))
    flood(world, "noise")
    world.send(event("ada", name="Trial Started", at=world.now), event("ada", type="identify", at=world.now))
    let_go = world.now + RETIRE_EVERY_MS
    world.tick(let_go)
    tenant = world.shards[0].tenant(TENANT)
    assert len(tenant.people.names) == LIMIT
    assert world.decisions("u:ada") == []
    user = world.user("u:ada")
    assert user is not None
    assert user.event_counts == {OTHER_NAME: 2}
    assert not {"events_unnamed", "names_retired"} & set(tenant.counters)
    monkeypatch.setattr(worlds, "RECORD_VERSION", 5)
    let_names_go(world)
    world.send(event("ada", name="Trial Started", at=world.now))
    user = world.user("u:ada")
    assert user is not None
    assert user.event_counts["Trial Started"] == 1
    world.check()


def test_a_code_is_free_only_when_the_last_row_was_swept() -> None:
    table = Names("", 32)
    codes = [table.code(str(i)) for i in range(31)]
    table.keeps_room = False
    table.retire()
    assert table.n_free < 8
    assert table.find("0") is None
    assert table.code("new") in {0, *codes[-1:], len(table.texts) - 1}
    retired = table.retired
    table.free()
    assert retired.any()
    assert table.n_free >= 7
    assert not retired[table.code("another")] or table.texts[table.code("another")] == "another"


@pytest.fixture
def few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "MAX_ENTRIES", 16)
    monkeypatch.setattr(history, "MAX_ENTRIES", 16)


def test_what_one_user_did_takes_a_bounded_number_of_entries(few_entries: None) -> None:
    world = World(n=1)
    for n in range(6):
        world.send(*(event("ada", name=f"n{i}", at=world.now) for i in range(5 * n, 5 * n + 5)))
    user = world.user("u:ada")
    assert user is not None
    assert sum(user.event_counts.values()) == 30
    assert len(user.event_counts) < 10
    assert user.event_counts[OTHER_NAME] > 15
    inspection.check(world.shards[0])
    world.shards[0] = snapshot.load(*snapshot.dump(world.shards[0]), DEFAULT_MAX_IDS)
    world.send(event("ada", name="n0", at=world.now), event("ada", name="n99", at=world.now))
    after = world.user("u:ada")
    assert after is not None
    assert after.event_counts["n0"] == user.event_counts["n0"] + 1
    assert after.event_counts[OTHER_NAME] == user.event_counts[OTHER_NAME] + 1
