"""Memberships follow events and time."""

from __future__ import annotations

from tests.support.shard_world import DAY, T0, World, event


def entered(world: World) -> list[tuple[str, str, bool]]:
    return [(c.user, c.segment, c.entered) for c in world.changes]


def test_a_trait_change_enters_and_leaves_at_once(world: World) -> None:
    world.publish(1, pros={"trait": "plan", "op": "eq", "value": "pro"})
    world.send(
        event("ann", type="identify", at=T0, traits={"plan": "pro"}),
        event("ann", type="identify", at=T0 + 1, traits={"plan": "free"}),
    )
    assert entered(world) == [("u:ann", "pros", True), ("u:ann", "pros", False)]
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.segments == []
    assert [e.kind for e in ann.timeline if e.kind > 30].count(32) == 1


def test_did_x_at_least_n_times_in_7_days_ends_with_the_days(world: World) -> None:
    world.publish(1, busy={"event": "Bought", "op": "gte", "count": 2, "days": 7})
    world.send(event("ann", name="Bought", at=T0), event("ann", name="Bought", at=T0))
    assert entered(world) == [("u:ann", "busy", True)]
    for day in range(1, 9):
        world.tick(T0 + day * DAY)
    assert entered(world)[1:] == [("u:ann", "busy", False)]
    assert world.changes[-1].at == T0 + 7 * DAY


def test_not_seen_for_14_days_needs_no_event_and_fires_once_when_late(world: World) -> None:
    world.publish(1, quiet={"seen": "not_within", "days": 14})
    world.send(event("ann", at=T0))
    assert entered(world) == []
    world.tick(T0 + 14 * DAY - 1)
    assert entered(world) == []
    world.tick(T0 + 20 * DAY)
    world.tick(T0 + 21 * DAY)
    assert entered(world) == [("u:ann", "quiet", True)]
    world.now = T0 + 21 * DAY
    world.send(event("ann", at=world.now))
    assert entered(world)[1:] == [("u:ann", "quiet", False)]


def test_a_segment_published_after_its_events_is_backfilled_with_progress(world: World) -> None:
    for i in range(50):
        world.send(event(f"user{i}", name="Bought"))
    world.publish(1, buyers={"event": "Bought"})
    behind = [shard.tenants["tn_test"].segments.live["buyers"].progress for shard in world.shards]
    assert behind == [0.0, 0.0]
    world.tick()
    done = [shard.tenants["tn_test"].segments.live["buyers"].progress for shard in world.shards]
    assert done == [None, None]
    assert len(entered(world)) == 50
    ticks = [shard.wants_tick(world.now) for shard in world.shards]
    assert ticks == [False, False]


def test_a_republished_segment_moves_only_those_whose_answer_changed(world: World) -> None:
    world.publish(1, some={"event": "Bought", "count": 1})
    world.send(event("ann", name="Bought"), event("bob", name="Bought"), event("bob", name="Bought"))
    world.changes.clear()
    world.publish(2, some={"event": "Bought", "count": 2})
    world.tick()
    assert entered(world) == [("u:ann", "some", False)]


def test_an_archived_segment_is_gone(world: World) -> None:
    world.publish(1, some={"event": "Bought"}, other={"trait": "plan", "op": "exists"})
    world.send(event("ann", name="Bought"))
    world.publish(2, other={"trait": "plan", "op": "exists"})
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.segments == []


def test_a_merge_brings_a_user_into_a_segment(world: World) -> None:
    world.publish(1, busy={"event": "Bought", "count": 2})
    world.send(event(anonymous="a1", name="Bought"))
    world.send(event("ann", name="Bought"))
    world.send(event("ann", anonymous="a1", name="Looked"))
    world.deliver()
    assert entered(world) == [("u:ann", "busy", True)]
