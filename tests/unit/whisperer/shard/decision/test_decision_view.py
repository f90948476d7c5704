"""What somebody who asked is told, beside the whole of it."""

from __future__ import annotations

from actors.calls.plain import plain
from tests.support.shard_world import TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, ON_REQUEST
from whisperer.decisions.decision import decision_id
from whisperer.shard import inspection
from whisperer.shard.decision.view import brief
from whisperer.shard.records import Asked

USERS = [f"user-{n}" for n in range(12)]


def test_the_brief_says_what_the_whole_says_whatever_became_of_the_decision(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    for user in USERS:
        reachable = user != "user-0"
        world.send(event(user, type="identify", traits=ADDRESSES if reachable else {"name": "Ann"}, at=world.now))
    seen = set()
    for at, user in enumerate(USERS):
        name = decision_id(TENANT, f"u:{user}", "asked", "o")
        for shard in range(world.n):
            world.write(shard, Asked(TENANT, "asked", [(f"u:{user}", "o")]))
        if at != 1:  # one is left waiting
            world.decide(lambda candidate: candidate.arms[-1])
        shard = world.shards[world.home_of(name)]
        found = shard.tenant(TENANT).loop.find(name)
        whole = inspection.decision(shard, TENANT, name)
        assert found is not None
        assert whole is not None
        told = brief(found[1])
        assert plain(told).items() <= plain(whole).items()
        seen.add((told.status, told.group is None, told.propensity is None))
    assert seen >= {("refused", True, True), ("deciding", False, True), ("sending", False, False)}


def test_who_is_asked_about_twice_at_once_has_one_open_decision(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    world.send(event("ann", type="identify", traits=ADDRESSES, at=world.now))
    home = next(
        n for n, s in enumerate(world.shards) if s.tenants.get(TENANT) and "u:ann" in s.tenant(TENANT).people.keys
    )
    world.write(home, Asked(TENANT, "asked", [("u:ann", "1"), ("u:nobody", "1"), ("u:ann", "2"), ("u:ann", "1")]))
    assert [(d.occurrence, d.status) for d in world.decisions("u:ann")] == [("1", "deciding"), ("2", "refused")]
    assert world.shards[home].tenant(TENANT).counters["dropped.ask_unknown"] == 1


def test_a_shard_that_has_nobody_can_be_asked_about_anybody(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    for shard in range(world.n):
        world.write(shard, Asked(TENANT, "asked", [("u:ann", "1"), ("u:bob", "1")]))
    assert [shard.tenant(TENANT).counters["dropped.ask_unknown"] for shard in world.shards] == [2] * world.n
