"""What events do to users."""

from __future__ import annotations

from tests.support.shard_world import DAY, T0, World, event
from whisperer.shard import inspection


def test_counts_revenue_and_seen_times_are_exact(world: World) -> None:
    world.send(
        event("ann", name="Bought", at=T0, revenue=0.1),
        event("ann", name="Bought", at=T0 - 5, revenue=0.2),
        event("ann", name="Looked", at=T0 + 7),
    )
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts == {"Bought": 2, "Looked": 1}
    assert ann.features["revenue_micros"] == 300_000
    assert (ann.first_seen, ann.last_seen) == (T0 - 5, T0 + 7)


def test_a_repeated_message_id_counts_once_within_and_across_requests(world: World) -> None:
    world.send(event("ann", id="x"), event("ann", id="x"), event("ann", id="y"))
    world.send(event("ann", id="x"))
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.features["events_total"] == 2
    counters = [shard.tenants["tn_test"].counters for shard in world.shards if shard.tenants]
    assert sum(c["events_accepted"] for c in counters) == 2
    assert sum(c["events_duplicate"] for c in counters) == 2


def test_windows_count_whole_utc_days_as_of_any_later_moment(world: World) -> None:
    noon = (T0 // DAY) * DAY + DAY // 2
    for back in (0, 6, 7, 29, 30, 89, 90, 200):
        world.send(event("ann", at=noon - back * DAY))
    ann = world.user("u:ann", as_of=noon)
    assert ann is not None
    assert [ann.features[f"events_{d}d"] for d in (7, 30, 90)] == [2, 4, 6]
    later = world.user("u:ann", as_of=noon + DAY)
    assert later is not None
    assert [later.features[f"events_{d}d"] for d in (7, 30, 90)] == [1, 3, 5]


def test_an_old_history_arriving_late_keeps_its_place_in_the_windows(world: World) -> None:
    world.send(event("ann", at=T0))
    world.send(event("ann", at=T0 - 3 * DAY), event("ann", at=T0 - 400 * DAY))
    ann = world.user("u:ann", as_of=T0)
    assert ann is not None
    assert ann.features["events_7d"] == 2
    assert ann.features["events_total"] == 3


def test_inactive_events_change_traits_and_not_last_seen(world: World) -> None:
    world.send(event("ann", at=T0))
    world.send(event("ann", type="identify", at=T0 + 5, active=False, traits={"plan": "pro"}))
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.last_seen == T0
    assert bytes(ann.traits["plan"]) == b'"pro"'


def test_the_newest_trait_wins_and_null_removes_it(world: World) -> None:
    world.send(event("ann", type="identify", at=T0, traits={"plan": "pro", "age": 3}))
    world.send(event("ann", type="identify", at=T0 - 1, traits={"plan": "free", "city": "Graz"}))
    world.send(event("ann", type="identify", at=T0 + 1, traits={"age": None}))
    ann = world.user("u:ann")
    assert ann is not None
    assert {name: bytes(value) for name, value in ann.traits.items()} == {"plan": b'"pro"', "city": b'"Graz"'}


def test_of_two_traits_with_one_timestamp_the_later_in_the_journal_wins(world: World) -> None:
    world.send(
        event("ann", type="identify", traits={"plan": "pro"}), event("ann", type="identify", traits={"plan": "free"})
    )
    ann = world.user("u:ann")
    assert ann is not None
    assert bytes(ann.traits["plan"]) == b'"free"'


def test_zone_and_locale_follow_the_newest_event(world: World) -> None:
    world.send(event("ann", at=T0, zone="Europe/Vienna", locale="de-AT"), event("ann", at=T0 - 1, zone="Asia/Tokyo"))
    ann = world.user("u:ann")
    assert ann is not None
    assert (ann.time_zone, ann.locale) == ("Europe/Vienna", "de-AT")


def test_the_timeline_keeps_the_newest_64_by_event_time(world: World) -> None:
    for i in range(100):
        world.send(event("ann", name=f"E{i}", at=T0 + (i * 37) % 100))
    ann = world.user("u:ann")
    assert ann is not None
    assert [e.timestamp - T0 for e in ann.timeline] == list(range(99, 35, -1))


def test_users_are_counted_once(world: World) -> None:
    world.send(event("ann"), event("bob"), event("ann"), event(anonymous="cy"))
    assert sum(shard.tenants["tn_test"].n_users() for shard in world.shards if shard.tenants) == 3


def test_a_daily_count_beyond_16_bits_stays_exact(world: World) -> None:
    import numpy as np

    from whisperer.profiles import daily
    from whisperer.profiles.population import Population

    people = Population()
    row = people.add(["u:ann", "u:bob"], [0, 0])
    for _ in range(3):
        daily.add(people.table, row, np.array([20_000, 20_000]), np.array([60_000, 1]))
    assert daily.window(people.table, row, 20_000, 7).tolist() == [180_000, 3]


def test_an_unknown_user_is_none(world: World) -> None:
    assert inspection.user(world.shards[0], "tn_test", "u:nobody") is None
    assert inspection.user(world.shards[0], "tn_other", "u:nobody") is None
