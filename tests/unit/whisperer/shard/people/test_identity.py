"""One person, several keys."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.shard_world import DAY, T0, World, event
from whisperer.shard import inspection
from whisperer.shard.people.identity import MAX_LINKS


def test_an_anonymous_history_joins_the_user_who_identifies(world: World) -> None:
    world.send(event(anonymous="a1", name="Viewed", at=T0 - DAY, revenue=1.5))
    world.send(event("ann", anonymous="a1", type="identify", at=T0, traits={"plan": "pro"}))
    world.deliver()
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts == {"Viewed": 1, "$identify": 1}
    assert ann.features["revenue_micros"] == 1_500_000
    assert ann.first_seen == T0 - DAY
    assert ann.anonymous_ids == ["a1"]
    same = world.user("a:a1")
    assert same is not None
    assert same.key == "u:ann"


def test_later_events_of_a_merged_anonymous_id_reach_the_user(world: World) -> None:
    world.send(event("ann", anonymous="a1"))
    world.deliver()
    world.send(event(anonymous="a1", name="Viewed"), event(anonymous="a1", name="Viewed"))
    world.deliver()
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts == {"Clicked": 1, "Viewed": 2}


def test_a_second_user_of_a_device_merges_nothing_and_starts_afresh(world: World) -> None:
    world.send(event(anonymous="dev", name="Old"))
    world.send(event("ann", anonymous="dev"))
    world.deliver()
    world.send(event("bob", anonymous="dev"))
    world.deliver()
    world.send(event(anonymous="dev", name="New"))
    world.deliver()
    ann, bob, device = world.user("u:ann"), world.user("u:bob"), world.user("a:dev")
    assert ann is not None
    assert bob is not None
    assert device is not None
    assert ann.event_counts == {"Clicked": 1, "Old": 1}
    assert bob.event_counts == {"Clicked": 1}
    assert bob.anonymous_ids == []
    assert bob.refused_anonymous_ids == ["dev"]
    assert device.event_counts == {"New": 1}
    world.send(event("ann", anonymous="dev"))
    world.deliver()
    device = world.user("a:dev")
    assert device is not None
    assert device.event_counts == {"New": 1}


def test_alias_joins_two_known_users(world: World) -> None:
    world.send(event("old", name="Bought", revenue=2), event("new", name="Looked"))
    world.send(event("new", type="alias", previous="old"))
    world.deliver()
    new = world.user("u:new")
    assert new is not None
    assert new.event_counts == {"Bought": 1, "Looked": 1, "$alias": 1}
    assert new.previous_ids == ["old"]
    world.send(event("old", name="Bought"))
    world.deliver()
    new = world.user("u:old")
    assert new is not None
    assert new.event_counts["Bought"] == 2


def test_aliases_in_a_circle_change_nothing(world: World) -> None:
    users = ["a", "b", "c"]
    world.send(*(event(u, name=u) for u in users))
    world.send(*(event(u, type="alias", previous=p) for u, p in zip(users, [*users[1:], users[0]], strict=True)))
    world.deliver()
    whole = world.user("u:a")
    assert whole is not None
    views = [world.user(f"u:{u}") for u in users]
    assert len({v.key for v in views if v is not None}) == 1
    assert sum(v for name, v in whole.event_counts.items() if name in users) == 3


def test_an_anonymous_id_of_a_joined_user_stays_theirs(world: World) -> None:
    world.send(event("old", anonymous="dev"))
    world.deliver()
    world.send(event("new", type="alias", previous="old"))
    world.deliver()
    world.send(event("new", anonymous="dev"))
    world.send(event(anonymous="dev", name="Viewed"))
    world.deliver()
    new = world.user("u:new")
    assert new is not None
    assert new.event_counts["Viewed"] == 1
    assert new.refused_anonymous_ids == []


def test_messages_that_come_twice_change_nothing(world: World) -> None:
    world.send(event(anonymous="a1", name="Viewed"))
    world.send(event("ann", anonymous="a1"))
    world.deliver(again=True)
    world.send(event(anonymous="a1", name="Viewed"))
    world.deliver(again=True)
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts == {"Viewed": 2, "Clicked": 1}


def test_a_profile_holds_a_bounded_number_of_ids(world: World) -> None:
    for i in range(MAX_LINKS + 5):
        world.send(event("ann", anonymous=f"a{i}"))
    world.deliver()
    ann = world.user("u:ann")
    assert ann is not None
    assert len(ann.anonymous_ids) == MAX_LINKS
    assert sum(s.tenants["tn_test"].counters["dropped.identity_full"] for s in world.shards if s.tenants) == 5


def test_erasing_a_user_removes_every_key_and_late_events_do_not_bring_it_back(world: World) -> None:
    world.send(event(anonymous="a1"), event("old"))
    world.send(event("ann", anonymous="a1", traits={"email": "a@b.c"}, type="identify"))
    world.send(event("ann", type="alias", previous="old"))
    world.deliver()
    world.now = T0 + 1000
    world.erase("u:ann")
    world.deliver()
    world.send(event("ann", at=T0 + 999), event(anonymous="a1", at=T0 + 1000), event("old", at=T0))
    world.deliver()
    assert [world.user(k) for k in ("u:ann", "a:a1", "u:old")] == [None, None, None]
    for shard in world.shards:
        keys = shard.tenants["tn_test"].people.keys
        assert len(keys) == len(keys.vacant())
    world.send(event("ann", at=T0 + 2000))
    again = world.user("u:ann")
    assert again is not None
    assert again.event_counts == {"Clicked": 1}
    world.send(event("ann", at=T0 + 10))
    again = world.user("u:ann")
    assert again is not None
    assert again.event_counts == {"Clicked": 1}


def test_state_on_its_way_to_an_erased_user_is_dropped(world: World) -> None:
    world.send(event(anonymous="a1", name="Viewed"))
    world.send(event("ann", anonymous="a1"))
    claim = world.wire.popleft()
    world.wire.append(claim)
    world.now = T0 + 1000
    from whisperer.shard.records import LettersArrived

    world.wire.clear()
    world.write(world.home(claim.target), LettersArrived([claim]))
    world.now = T0 + 2000
    world.erase("u:ann")
    world.deliver()
    assert world.user("u:ann") is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_merges_commute_after_claims(data: st.DataObject) -> None:
    """Whatever order messages travel in between pairs of partitions, the users end up the same."""
    anonymous = ["a1", "a2", "a3"]
    history = [
        event(anonymous=data.draw(st.sampled_from(anonymous)), name=data.draw(st.sampled_from("XYZ")),
              at=T0 + data.draw(st.integers(-100, 100)) * DAY // 2, id=f"h{i}", revenue=data.draw(st.integers(-5, 5)),
              zone=data.draw(st.sampled_from(["", "Asia/Tokyo", "Europe/Paris"])))
        for i in range(data.draw(st.integers(0, 12)))
    ]  # fmt: skip
    joins = [event("ann", anonymous=a, id=f"j{a}", type="identify", traits={"n": a}, at=T0 + i) for i, a in
             enumerate(anonymous)]  # fmt: skip
    digests = set()
    for _ in range(2):
        world = World()
        world.send(*history)
        for join in data.draw(st.permutations(joins)):
            world.send(join)
        # Order holds for each (source, target); across pairs any interleaving may happen.
        while world.wire:
            first: dict[tuple[int, int], int] = {}
            for place, message in enumerate(world.wire):
                first.setdefault((message.source, message.target), place)
            chosen = data.draw(st.sampled_from(sorted(first.values())))
            message = world.wire[chosen]
            del world.wire[chosen]
            world.wire.appendleft(message)
            rest = list(world.wire)[1:]
            world.wire.clear()
            world.wire.append(message)
            posted = world.wire
            one = posted.popleft()
            from whisperer.shard.records import LettersArrived, LettersConfirmed

            world.write(world.home(one.target), LettersArrived([one]))
            world.write(world.home(one.source), LettersConfirmed([(one.tenant, one.source, one.sequence)]))
            world.wire.extendleft(reversed(rest))
        world.check()
        digests.add(tuple(inspection.profile_digest(shard) for shard in world.shards))
    assert len(digests) == 1


def test_alias_takes_up_an_anonymous_id_that_has_a_history_and_invents_none(world: World) -> None:
    world.send(event(anonymous="visitor", name="Viewed"))
    world.send(event("ann", type="alias", previous="visitor"), event("bob", type="alias", previous="nobody"))
    world.deliver()
    ann, bob = world.user("u:ann"), world.user("u:bob")
    assert ann is not None
    assert bob is not None
    assert (ann.event_counts, ann.anonymous_ids) == ({"Viewed": 1, "$alias": 1}, ["visitor"])
    assert bob.anonymous_ids == []


def test_a_zone_stated_once_is_kept_when_later_events_state_only_a_locale(world: World) -> None:
    world.send(event("ann", at=T0, zone="Asia/Tokyo", locale="en"), event("ann", at=T0 + 1, locale="ja"))
    ann = world.user("u:ann")
    assert ann is not None
    assert (ann.time_zone, ann.locale) == ("Asia/Tokyo", "ja")
