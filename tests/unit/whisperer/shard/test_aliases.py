"""Chains and trees of aliases: few letters, few hops, one person, and none of it left once that is erased."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.shard_world import T0, TENANT, World, event
from whisperer.ids import is_anonymous
from whisperer.profiles.population import LIVE
from whisperer.shard.move import packing
from whisperer.shard.people.identity import MAX_ALSO, MAX_LINKS
from whisperer.shard.records import (
    ALIAS_ARBITER,
    AliasGrant,
    Claim,
    Erase,
    Forward,
    Letter,
    LettersArrived,
    LettersConfirmed,
    MergeIn,
    PartitionJoined,
    PartitionLeft,
)
from whisperer.shard.state.forest import MAX_TREE, MOVES_AT_ONCE

LENGTH = 40


def alias(previous: str, user: str, at: int = T0) -> dict[str, Any]:
    return event(user, type="alias", previous=previous, at=at)


def chain(length: int = LENGTH) -> list[dict[str, Any]]:
    return [alias(f"k{i}", f"k{i + 1}") for i in range(length)]


def n_letters(world: World) -> int:
    return sum(int(shard.tenant(TENANT).sent.sum()) for shard in world.shards)


def n_accepted(world: World) -> int:
    return sum(shard.tenant(TENANT).counters["events_accepted"] for shard in world.shards)


def n_counted(world: World) -> int:
    """Events in the profiles of live users."""
    tables = [shard.tenant(TENANT).people.table for shard in world.shards]
    return sum(int(t["n_events"][: t.n][t["status"][: t.n] == LIVE].sum()) for t in tables)


def dropped(world: World, reason: str) -> int:
    return sum(shard.tenant(TENANT).counters[f"dropped.{reason}"] for shard in world.shards)


def root_of(world: World, key: str) -> str:
    return world.shards[world.home(ALIAS_ARBITER)].tenant(TENANT).forest.root(key)


def found(world: World, key: str) -> tuple[str, int]:
    """Where the homes lead from a key, and in how many steps, when the arbiter is asked after the second."""
    for step in range(9):
        shard = world.shards[world.home(tenant_of(world).home(key))]
        people = shard.tenant(TENANT).people
        row = people.keys.get(key)
        if row is None or row not in people.targets:
            return key, step
        key = people.targets[row]
        if step:
            key = root_of(world, key)
    raise AssertionError(f"{key} leads nowhere")


def tenant_of(world: World) -> Any:
    return world.shards[0].tenant(TENANT)


def deliver_one(world: World, message: Letter) -> None:
    world.wire.remove(message)
    rest = list(world.wire)
    world.wire.clear()
    world.write(world.home(message.target), LettersArrived([message]))
    new = list(world.wire)
    world.wire.clear()
    world.write(world.home(message.source), LettersConfirmed([(message.tenant, message.source, message.sequence)]))
    world.wire.extend([*rest, *new])


def deliver_in_any_order(world: World, data: st.DataObject) -> None:
    """Order holds for each (source, target); across pairs any interleaving may happen."""
    while world.wire:
        firsts: dict[tuple[int, int], Letter] = {}
        for message in world.wire:
            firsts.setdefault((message.source, message.target), message)
        ready = list(firsts.values())
        deliver_one(world, ready[data.draw(st.integers(0, len(ready) - 1))])


@pytest.mark.parametrize("order", ["first to last", "last to first"])
@pytest.mark.parametrize("together", [True, False])
def test_a_chain_costs_a_few_letters_an_alias_and_ends_as_one_user(order: str, together: bool) -> None:
    world = World()
    aliases = chain() if order == "first to last" else chain()[::-1]
    if together:
        world.send(*aliases)
    else:
        for one in aliases:
            world.send(one)
            world.deliver()
    world.deliver()
    assert n_letters(world) <= 8 * LENGTH
    for i in range(LENGTH):
        key, steps = found(world, f"u:k{i}")
        assert (key, steps <= 3) == (f"u:k{LENGTH}", True)
    whole = world.user(f"u:k{LENGTH}")
    assert whole is not None
    assert len(whole.previous_ids) == LENGTH
    assert n_counted(world) == LENGTH
    world.check()


def test_an_event_at_the_end_of_a_chain_makes_three_hops_at_most_and_the_next_one_a_single_one() -> None:
    world = World()
    for one in chain():
        world.send(one)
        world.deliver()
    hops = []
    for _ in range(2):
        world.send(event("k0"))
        passed = 0
        while world.wire:
            message = world.wire[0]
            passed += isinstance(getattr(message.body, "letter", message.body), Forward)
            deliver_one(world, message)
        hops.append(passed)
    assert hops == [3, 1]
    assert n_counted(world) == LENGTH + 2


def test_an_anonymous_id_of_a_user_in_a_chain_follows_it_to_the_end() -> None:
    world = World()
    world.send(event("k0", anonymous="dev"))
    world.deliver()
    for one in chain():
        world.send(one)
        world.deliver()
    for n in range(2):
        world.send(event(anonymous="dev", name="Viewed"))
        world.deliver()
        whole = world.user(f"u:k{LENGTH}")
        assert whole is not None
        assert whole.event_counts["Viewed"] == n + 1
    assert found(world, "a:dev") == (f"u:k{LENGTH}", 1)


def test_a_user_is_joined_from_no_more_ids_than_a_profile_holds() -> None:
    world = World()
    world.send(*(alias(f"p{i}", "ann") for i in range(MAX_TREE + 5)))
    world.deliver()
    ann = world.user("u:ann")
    assert ann is not None
    assert len(ann.previous_ids) == MAX_LINKS
    assert dropped(world, "identity_full") == 5
    assert n_letters(world) <= 5 * (MAX_TREE + 5)


@pytest.mark.parametrize("order", [1, -1])
def test_two_users_with_many_devices_join_into_one_that_holds_no_more_than_it_may(order: int) -> None:
    n = 600
    world = World()
    for user in ("ann", "bob")[::order]:
        for i in range(n):
            world.send(event(user, anonymous=f"{user}-{i:03}"))
    world.deliver()
    world.send(alias("bob", "ann"))
    world.deliver()
    ann = world.user("u:ann")
    assert ann is not None
    assert len(ann.anonymous_ids) + len(ann.previous_ids) == MAX_LINKS
    n_released = 2 * n + 1 - MAX_LINKS
    assert dropped(world, "identity_full") == n_released
    kept = sorted(f"{user}-{i:03}" for user in ("ann", "bob") for i in range(n))[: MAX_LINKS - 1]
    assert sorted(ann.anonymous_ids) == kept
    world.send(event(anonymous="bob-599", name="Alone"), event(anonymous="bob-000", name="Joined"))
    world.deliver()
    alone, ann = world.user("a:bob-599"), world.user("u:ann")
    assert alone is not None
    assert ann is not None
    assert (alone.key, alone.event_counts) == ("a:bob-599", {"Alone": 1})
    assert ann.event_counts["Joined"] == 1
    assert n_counted(world) == n_accepted(world)
    world.check()


def test_a_claim_names_few_of_the_users_joined() -> None:
    world = World()
    world.send(*(alias(f"p{i}", "ann") for i in range(3 * MAX_ALSO)))
    world.deliver()
    world.send(event("ann", anonymous="dev"))
    (claim,) = [m.body for m in world.wire if isinstance(m.body, Claim)]
    assert len(claim.also) == MAX_ALSO


@pytest.mark.parametrize("erased", ["k0", f"k{LENGTH // 2}", f"k{LENGTH - 1}", f"k{LENGTH}", "dev"])
@pytest.mark.parametrize("together", [True, False])
def test_whichever_id_of_a_chain_is_erased_nothing_is_left_of_the_person(erased: str, together: bool) -> None:
    world = World()
    world.send(event("k0", anonymous="dev", traits={"email": "a@b.c"}, type="identify"))
    world.deliver()
    for one in chain():
        world.send(one)
        if not together:
            world.deliver()
    world.deliver()
    world.now = T0 + 1000
    world.erase(f"a:{erased}" if erased == "dev" else f"u:{erased}")
    world.deliver()
    if erased == "dev":  # an anonymous id is the user's, not the other way round
        return
    for shard in world.shards:
        tenant = shard.tenant(TENANT)
        assert len(tenant.people.keys) == len(tenant.people.keys.vacant())
    forest = world.shards[world.home(ALIAS_ARBITER)].tenant(TENANT).forest
    assert (forest.parents, forest.sizes) == ({}, {})
    world.send(*(event(f"k{i}", at=T0 + 999) for i in range(LENGTH)))
    world.deliver()
    assert n_counted(world) == 0
    world.send(alias("k3", "k9", at=T0 + 2000))  # in the same moment as the erasure: it does not hold, nowhere
    world.deliver()
    assert (root_of(world, "u:k3"), found(world, "u:k3")) == ("u:k3", ("u:k3", 0))
    world.now += 1
    world.send(alias("k3", "k9", at=T0 + 2001), event("k3", at=T0 + 2000))
    world.deliver()
    assert found(world, "u:k3") == ("u:k9", 1)
    assert n_counted(world) == 3


def test_state_that_finds_its_user_erased_takes_its_own_id_along() -> None:
    world = World()
    world.send(event("old", name="Bought", traits={"email": "a@b.c"}, type="identify"), event("new"))
    world.send(alias("old", "new"))
    while not any(type(m.body).__name__ == "MergeIn" for m in world.wire):
        deliver_one(world, world.wire[0])
    world.now = T0 + 1000
    world.erase("u:new")
    world.deliver()
    keys = {key for shard in world.shards for key in shard.tenant(TENANT).erasing}
    assert keys == {"u:old", "u:new"}
    assert n_counted(world) == 0


IDS = [f"k{i}" for i in range(7)]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_joined_in_whatever_order_events_are_counted_once_and_all_ids_lead_to_one_user(
    data: st.DataObject,
) -> None:
    """Aliases, circles, self-aliases, devices, events in between, moves; letters in any order that pairs allow."""
    world = World()
    n_asks = 0
    version = 1
    for _ in range(data.draw(st.integers(1, 14))):
        match data.draw(
            st.sampled_from(["alias", "alias", "alias", "event", "device", "anonymous", "move", "deliver"])
        ):
            case "alias":
                batch = data.draw(
                    st.lists(st.tuples(st.sampled_from([*IDS, "dev0"]), st.sampled_from(IDS)), max_size=5)
                )
                world.send(*(alias(*pair) for pair in batch))
                n_asks += len(batch)
            case "event":
                world.send(event(data.draw(st.sampled_from(IDS))))
            case "device":
                world.send(event(data.draw(st.sampled_from(IDS)), anonymous=f"dev{data.draw(st.integers(0, 2))}"))
            case "anonymous":
                world.send(event(anonymous=f"dev{data.draw(st.integers(0, 2))}"))
            case "move":
                version += 1
                move(world, data.draw(st.integers(0, 3)), version)
            case _:
                deliver_in_any_order(world, data)
    deliver_in_any_order(world, data)
    world.check()
    assert n_counted(world) == n_accepted(world)
    for user in IDS:
        key, steps = found(world, f"u:{user}")
        assert key == root_of(world, f"u:{user}")
        assert steps <= 3
    tried = Counter(world.shards[world.home(ALIAS_ARBITER)].tenant(TENANT).forest.parents.values())
    assert sum(tried.values()) <= n_asks
    before = n_letters(world)
    world.send(*(event(user) for user in IDS))
    deliver_in_any_order(world, data)
    assert n_letters(world) - before <= 3 * len(IDS) + MOVES_AT_ONCE * len(IDS)
    assert n_counted(world) == n_accepted(world)


def move(world: World, partition: int, version: int) -> None:
    source, target = world.home(partition), 1 - world.home(partition)
    state = packing.extract(world.shards[source], TENANT, partition)
    world.write(source, PartitionLeft(TENANT, partition, version))
    world.write(target, PartitionJoined(TENANT, partition, version, state))
    world.place[partition] = target


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_after_an_erasure_nothing_of_the_person_is_left_whatever_was_under_way(data: st.DataObject) -> None:
    """Aliases among few ids, one of which is erased at any moment; then every id of that person is, once more."""
    world = World()
    for _ in range(data.draw(st.integers(1, 6))):
        pairs = data.draw(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), min_size=1, max_size=4))
        world.send(*(alias(*pair) for pair in pairs))
        for _ in range(data.draw(st.integers(0, 10))):
            if world.wire:
                deliver_one(world, world.wire[0])
    world.now = T0 + 1000
    erased = data.draw(st.sampled_from(IDS))
    world.write(world.home(tenant_of(world).home(f"u:{erased}")), Erase(TENANT, f"u:{erased}"))
    deliver_in_any_order(world, data)
    world.check()
    live = world.user(f"u:{erased}")
    assert live is None
    for shard in world.shards:
        people = shard.tenant(TENANT).people
        for row in range(people.table.n):
            key = people.keys.text(row)
            if key is not None and not is_anonymous(key) and people.links.get(row):
                assert f"u:{erased}" not in people.links[row], key


def deliver_all_but(world: World, *held: tuple[type, str]) -> None:
    """Deliver letters until only those of these kinds and keys, and what is behind them, are left."""

    def is_held(letter: Letter) -> bool:
        body = letter.body
        keys = {getattr(body, name, None) for name in ("origin", "previous", "key")}
        return any(isinstance(body, kind) and key in keys for kind, key in held)

    while True:
        blocked: set[tuple[int, int]] = set()
        ready = []
        for letter in world.wire:
            pair = (letter.source, letter.target)
            if pair in blocked:
                continue
            blocked.add(pair)
            if not is_held(letter):
                ready.append(letter)
        if not ready:
            return
        deliver_one(world, ready[0])


def test_what_the_arbiter_led_to_a_user_before_an_erasure_is_erased_there() -> None:
    """k5's state is on its way to k0, who is k2, who is to be k3: the grant comes to k2 after the erasure does."""
    world = World()
    world.send(alias("k5", "k0"))
    deliver_all_but(world, (MergeIn, "u:k5"))
    world.send(alias("k0", "k2"))
    deliver_all_but(world, (MergeIn, "u:k5"))
    world.send(alias("k2", "k3"))
    deliver_all_but(world, (MergeIn, "u:k5"), (AliasGrant, "u:k2"))
    world.now = T0 + 1000
    world.write(world.home(tenant_of(world).home("u:k5")), Erase(TENANT, "u:k5"))
    deliver_all_but(world, (AliasGrant, "u:k2"))
    world.deliver()
    world.check()
    for shard in world.shards:
        people = shard.tenant(TENANT).people
        held = {key for row in range(people.table.n) for key in people.links.get(row, {})}
        assert "u:k5" not in held
    assert world.user("u:k3") is None
