"""What no caller is meant to do and some will: the loop neither dies of it, nor forgets, nor counts wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import (
    ADDRESSES,
    BY_EVENT,
    DAILY,
    MINUTE,
    ON_REQUEST,
    TEXT,
    WINDOW_MS,
    campaign,
)
from tests.unit.whisperer.shard.state.test_loop import only, treated
from whisperer.content.message import RenderRequest
from whisperer.decisions import context
from whisperer.decisions.decision import NO_SEND
from whisperer.eligibility.groups import draw
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.journeys.campaign import Campaign, OnSchedule, to_json
from whisperer.shard import accounts, inspection, snapshot
from whisperer.shard.arrival.turns import turns
from whisperer.shard.decision import outcomes, sending, triggers
from whisperer.shard.machine import DEFAULT_MAX_IDS, Shard
from whisperer.shard.move.packing import extract
from whisperer.shard.records import (
    Asked,
    CampaignConfig,
    ConfigPublished,
    ConsentStated,
    Erase,
    Experiment,
    Outcome,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
)
from whisperer.shard.state import rewards
from whisperer.vocabulary.groups import Group

LARGEST = 9_000_000_000_000
"""Revenue that the gateway still takes: in micro-units nearly a whole int64."""


@pytest.fixture
def live(world: World) -> World:
    world.publish_campaigns(1, BY_EVENT, ON_REQUEST)
    return world


def partition(key: str) -> int:
    return partition_of(key, SEED)


def ask(world: World, user: str, occurrence: str = "k", name: str = "asked") -> None:
    world.write(world.home(partition(f"u:{user}")), Asked(TENANT, name, [(f"u:{user}", occurrence)]))


def move(world: World, place: int, version: int = 2) -> None:
    source = world.home(place)
    state = extract(world.shards[source], TENANT, place)
    world.write(source, PartitionLeft(TENANT, place, version))
    world.place[place] = 1 - source
    world.write(1 - source, PartitionJoined(TENANT, place, version, state))


def publish_on(world: World, shard: int, version: int, *campaigns: Campaign) -> None:
    """To one shard; the others were away."""
    configs = [CampaignConfig(c.name, version, "live", to_json(c)) for c in campaigns]
    world.write(shard, ConfigPublished(TENANT, version, [], configs, Experiment("salt", 0.3, 0.3)))


def reread(shard: Shard) -> Shard:
    return snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)


# -- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_revenue_beyond_all_bounds_neither_stops_a_merge_nor_a_snapshot(live: World, sign: int) -> None:
    """Anyone with a write key can send it, as often as they like."""
    live.send(event(anonymous="dev", type="identify", traits=ADDRESSES))
    home = live.home(partition("a:dev"))
    live.write(home, Asked(TENANT, "asked", [("a:dev", "k")]))
    live.decide(lambda _: "text")
    live.deliver_messages()
    live.send(*(event(anonymous="dev", name="Bought", revenue=sign * LARGEST, at=live.now) for _ in range(1_100)))
    reread(live.shards[home])
    user = treated(live, {})
    live.send(event(user, anonymous="dev", name="Seen"))
    live.deliver()
    assert abs(only(live, user).reward or 0) <= 100.1
    live.tick(live.now + WINDOW_MS)
    for shard in live.shards:
        assert inspection.digest(reread(shard)) == inspection.digest(shard)


def test_sums_over_many_users_outgrow_64_bits_and_are_stored() -> None:
    held = accounts.Account(groups={"policy": accounts.GroupAccount(9, -(2**70), 2**130)})
    held.arms["policy", "text"] = accounts.ArmAccount(9, 8, 7, 2**70)
    encoded = msgspec.msgpack.encode(accounts.store("asked", held))
    assert accounts.restore(msgspec.msgpack.decode(encoded, type=accounts.StoredAccount)) == held


# -- versions that a shard never saw ------------------------------------------------------------------------------


def test_a_decision_moves_to_a_shard_that_never_saw_its_campaigns_version(live: World) -> None:
    user = treated(live)
    place = partition(f"u:{user}")
    source = live.home(place)
    publish_on(live, source, 2, campaign(arms=(TEXT,)))
    live.send(event(user, name="Looked"))
    publish_on(live, source, 3, BY_EVENT)
    publish_on(live, 1 - source, 3, BY_EVENT)
    move(live, place)
    live.decide(lambda _: "text")
    assert live.deliver_messages()
    live.tick(live.now + WINDOW_MS)
    assert only(live, user).reward == -0.1  # what a text costs


def test_a_decision_is_merged_into_a_user_of_a_shard_that_never_saw_its_campaigns_version(world: World) -> None:
    user = treated(world)
    target = world.home(partition(f"u:{user}"))
    dev = next(d for d in (f"dev{i}" for i in range(99)) if world.home(partition(f"a:{d}")) != target)
    publish_on(world, 1 - target, 1, campaign(arms=(TEXT,)))
    world.send(event(anonymous=dev, type="identify", traits=ADDRESSES))
    world.send(event(anonymous=dev, name="Looked"))
    world.decide(lambda _: "text")
    world.deliver_messages()
    world.send(event(user, anonymous=dev, name="Seen"))
    world.deliver()
    world.tick(world.now + WINDOW_MS)
    assert only(world, user).matured


def test_versions_that_are_only_held_for_old_decisions_are_not_compiled_at_a_start(live: World) -> None:
    """A later release may no longer know a feature that an old version's audience names."""
    user = treated(live)
    home = live.home(partition(f"u:{user}"))
    live.send(event(user, name="Looked"))
    versions = live.shards[home].tenant(TENANT).loop.campaigns.versions
    known = versions["nudge", 1]
    audience = '{"feature":"gone","op":"gt","value":1}'
    live.publish_campaigns(2, BY_EVENT, ON_REQUEST)
    versions["nudge", 1] = CampaignConfig("nudge", 1, "ended", to_json(campaign(audience=audience)))
    assert len(reread(live.shards[home]).tenant(TENANT).loop.campaigns.versions) == len(versions)
    versions["nudge", 1] = known


# -- what is under way --------------------------------------------------------------------------------------------


def test_a_message_of_a_merged_key_is_driven_again_where_its_partition_goes(live: World) -> None:
    """It waits at the merged key's home for its receipt; without a drive it would wait until that shard's restart."""
    dev = next(f"dev{i}" for i in range(99) if draw(f"a:dev{i}", "salt", 0.3, 0.3) != Group.HOLDOUT)
    live.send(event(anonymous=dev, type="identify", traits=ADDRESSES))
    live.send(event(anonymous=dev, name="Looked"))
    live.decide(lambda _: "mail")
    (decision,) = live.under_way
    user = treated(live, {})
    live.send(event(user, anonymous=dev, name="Seen"))
    live.deliver()
    live.under_way.clear()
    move(live, partition(f"a:{dev}"))
    assert live.under_way == [decision]
    live.deliver_messages()
    live.deliver()
    assert [d.reason for d in live.decisions(f"u:{user}")] == ["merged"]


def test_a_message_decided_before_a_feature_was_added_is_still_sent(live: World, monkeypatch: Any) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    monkeypatch.setattr(context, "NAMES", (*context.NAMES, "later"))
    (decision,) = live.under_way
    tenant = live.shards[live.home_of(decision)].tenant(TENANT)
    assert isinstance(sending.prepare(tenant, decision, live.now), RenderRequest)


def test_a_zone_that_this_machine_does_not_know_is_utc(live: World) -> None:
    """Another machine's gateway knew it: a newer zone database, or a user that arrived from there."""
    user = treated(live)
    live.send(event(user, type="identify", traits=ADDRESSES, zone="Mars/Phobos"))
    live.send(event(user, name="Looked"))
    assert only(live, user).status == "deciding"
    minutes = round((only(live, user).features["local_hour"] or 0) * 60)
    assert minutes == live.now // MINUTE % 1440


def test_a_withdrawal_under_a_merged_id_holds_for_a_user_who_was_erased_and_came_back(live: World) -> None:
    user = treated(live)
    live.erase(f"u:{user}")
    live.deliver()
    live.now += MINUTE
    live.send(event(user, type="identify", traits=ADDRESSES, at=live.now))
    live.send(event(user, type="alias", previous="older", at=live.now))
    live.deliver()
    home = live.home(partition("u:older"))
    live.write(home, ConsentStated(TENANT, "u:older", "email", "marketing", False, "support"))
    live.deliver()
    live.send(event(user, name="Looked", at=live.now))
    assert only(live, user).refused_arms == {"mail": "no_consent"}


def test_an_occurrence_considered_again_after_an_erasure_meets_its_former_self(live: World) -> None:
    """The first went along in a merge; the key was erased, came back, and both users' partitions are on one shard."""
    seed_home = {u: live.home(partition(f"u:{u}")) for u in ("old", *(f"new{i}" for i in range(20)))}
    new = next(u for u, home in seed_home.items() if home != seed_home["old"])
    for user in ("old", new):
        live.send(event(user, type="identify", traits=ADDRESSES))
    ask(live, "old")
    live.send(event(new, type="alias", previous="old"))
    live.deliver()
    live.now += MINUTE // 2
    live.write(seed_home["old"], Erase(TENANT, "u:old"))
    live.now += 1
    live.send(event("old", type="identify", traits=ADDRESSES, at=live.now))
    ask(live, "old")
    assert only(live, "old").status in ("deciding", "no_send")
    move(live, partition(f"u:{new}"))
    inspection.check(live.shards[seed_home["old"]])
    live.deliver()
    live.tick(live.now + 2 * MINUTE)
    assert only(live, "old").reason == "decision_expired"
    live.erase("u:old")
    live.deliver()


# -- bounds -------------------------------------------------------------------------------------------------------


def test_an_unsubscription_after_many_conversions_costs_and_counts_once(live: World) -> None:
    user = treated(live)
    live.send(event(user, name="Looked"))
    live.decide(lambda _: "mail")
    live.deliver_messages()
    live.send(*(event(user, name="Bought", at=live.now) for _ in range(40)))
    found = only(live, user)
    for kind in (OutcomeKind.UNSUBSCRIBED, OutcomeKind.OPENED, OutcomeKind.OPENED, *[OutcomeKind.CLICKED] * 3):
        outcome = Outcome(f"u:{user}", found.id, kind, live.now, "", "email", "marketing")
        live.write(live.home_of(found.id), Outcomes(TENANT, [outcome]))
    assert only(live, user).reward == 0.5
    tenant = live.shards[live.home_of(found.id)].tenant(TENANT)
    assert tenant.loop.accounts["nudge"].outcomes == {
        OutcomeKind.CONVERTED: 1,
        OutcomeKind.UNSUBSCRIBED: 1,
        OutcomeKind.OPENED: 1,
        OutcomeKind.CLICKED: 1,
    }


def test_rewards_that_nobody_takes_are_bounded_and_their_numbers_go_on(
    monkeypatch: pytest.MonkeyPatch, live: World
) -> None:
    monkeypatch.setattr(rewards, "MOST_KEPT", 3)
    user = treated(live)
    home = live.home(partition(f"u:{user}"))
    for occurrence in "abcde":
        ask(live, user, occurrence)
        live.decide(lambda _: NO_SEND)
    live.tick(live.now + WINDOW_MS)
    log = live.shards[home].tenant(TENANT).loop.rewards
    assert [r.number for r in log.all()] == [2, 3, 4]
    assert [r.number for r in log.since(0, 10)] == [2, 3, 4]
    assert log.next == 5


def test_a_zone_that_appears_late_is_not_told_of_the_instants_it_missed(world: World) -> None:
    world.publish_campaigns(1, DAILY)
    world.tick(T0 + 10 * DAY)
    user = treated(world)
    world.send(event(user, type="identify", traits=ADDRESSES, zone="Asia/Tokyo", at=world.now))
    for _ in range(3):
        world.tick()
    assert world.decisions(f"u:{user}") == []
    world.tick(world.now + DAY)
    assert [d.trigger for d in world.decisions(f"u:{user}")] == ["schedule"]
    assert not any(triggers.is_due(shard.tenant(TENANT), world.now) for shard in world.shards)


def test_a_sweep_over_many_users_is_taken_in_ticks_of_bounded_work(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr(triggers, "AT_ONCE", 2)
    users = [f"u{i}" for i in range(7)]
    world.publish_campaigns(1, DAILY, campaign("weekly", OnSchedule("0 9 * * *", "UTC")))
    world.send(*(event(u, type="identify", traits=ADDRESSES, at=world.now) for u in users))
    world.now += DAY
    made = []
    while any(triggers.is_due(shard.tenant(TENANT), world.now) for shard in world.shards):
        before = world.account("daily").candidates + world.account("weekly").candidates
        world.tick()
        made.append(world.account("daily").candidates + world.account("weekly").candidates - before)
    assert max(made) <= 2 * world.n
    assert sum(made) == 2 * len(users)


def test_a_users_events_that_concern_no_campaign_are_counted_in_one_step() -> None:
    rows = np.array([4, 4, 7, 4, 7, 4])
    nothing, all_of_it = np.zeros(6, np.bool_), np.ones(6, np.bool_)
    assert in_turns(rows, nothing) == [[0, 1, 2, 3, 4, 5]]
    assert in_turns(rows, all_of_it) == [[0, 2], [1, 4], [3], [5]]
    stops = np.array([False, True, False, False, True, True])
    assert in_turns(rows, stops) == [[0, 1, 2, 4], [3, 5]]


def in_turns(rows: NDArray[np.int64], stops: NDArray[np.bool_], most: int = 64) -> list[list[int]]:
    return [turn.tolist() for turn in turns(rows, stops, most)[0]]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 10),
)
def test_no_row_has_more_turns_than_it_is_given(events: list[tuple[int, bool]], most: int) -> None:
    rows = np.array([row for row, _ in events])
    stops = np.array([stop for _, stop in events])
    taken, is_crowded = turns(rows, stops, most)
    found = [turn.tolist() for turn in taken]
    asked = [int(np.count_nonzero(stops[rows == row])) for row in range(4)]
    assert is_crowded == (max(asked) > most)
    assert sorted(place for turn in found for place in turn) == list(range(len(events)))
    for row in range(4):
        mine = [[place for place in turn if rows[place] == row] for turn in found]
        assert [place for turn in mine for place in turn] == np.flatnonzero(rows == row).tolist()
        ends = [turn[-1] for turn in mine if turn]
        assert len([end for end in ends if stops[end]]) == min(asked[row], most)
        assert all(stops[end] for end in ends[:-1])
        if asked[row]:
            assert np.flatnonzero(stops & (rows == row))[-1] in ends


def test_what_one_users_events_of_a_block_make_a_shard_compute_is_bounded() -> None:
    """Three thousand tests of segments, and as many calls of campaigns, whatever the block has of the user."""
    world = World(n=1)
    hundred = {f"s{i}": {"event": "Looked", "count": i + 1, "days": 7} for i in range(100)}
    world.publish_campaigns(1, BY_EVENT, **hundred)
    n = 1_000
    world.send(*(event("ann", name="Looked", at=T0 + i, received=T0, traits=ADDRESSES) for i in range(n)))
    tenant = world.shards[0].tenant(TENANT)
    assert tenant.segments.looks == 30
    assert world.account("nudge").candidates == 30
    assert tenant.counters["dropped.calls_crowded"] == n - 30
    assert tenant.counters["events_accepted"] == n
    view = world.user("u:ann")
    assert view is not None
    assert view.event_counts["Looked"] == n
    assert len(view.segments) == 100
    world.check()


def test_the_last_of_a_users_many_events_says_where_the_user_is() -> None:
    predicates = {"last": {"trait": "n", "op": "eq", "value": 99}, "odd": {"trait": "odd", "op": "eq", "value": True}}
    alone, together = World(n=1), World(n=1)
    stream = [
        event("ann", type="identify", traits={"n": i % 100, "odd": i % 2 == 1}, at=T0 + i, received=T0)
        for i in range(200)
    ]
    for world, size in ((alone, 1), (together, 200)):
        world.publish(1, **predicates)
        for start in range(0, 200, size):
            world.send(*stream[start : start + size])
        world.check()
    one, other = alone.user("u:ann"), together.user("u:ann")
    assert one is not None
    assert other is not None
    assert one.segments == other.segments == ["last", "odd"]
    assert one.traits == other.traits
    assert len(alone.changes) == 199 + 3
    assert 0 < len(together.changes) <= 2 * 64


def test_versions_that_no_decision_is_under_are_forgotten(world: World) -> None:
    """A tenant may publish as often as it likes."""

    def versions() -> set[int]:
        return {place[1] for shard in world.shards for place in shard.tenant(TENANT).loop.campaigns.versions}

    for version in range(1, 20):
        world.publish_campaigns(version, BY_EVENT)
    assert versions() == {19}
    world.send(event("ann", name="Looked", at=T0, traits=ADDRESSES))
    for version in range(20, 40):
        world.publish_campaigns(version, BY_EVENT)
    assert versions() == {19, 39}
    world.check()
    home = partition("u:ann")
    move(world, home)
    world.publish_campaigns(41, BY_EVENT)
    assert versions() == {19, 41}
    world.erase("u:ann")
    world.publish_campaigns(42, BY_EVENT)
    assert versions() == {42}


def test_while_a_partition_leaves_the_versions_of_its_decisions_are_kept(world: World) -> None:
    world.publish_campaigns(1, BY_EVENT)
    world.send(event("ann", name="Looked", at=T0, traits=ADDRESSES))
    place = partition("u:ann")
    home = world.home(place)
    world.write(home, PartitionLeft(TENANT, place, 2, kept=True))
    world.publish_campaigns(2, BY_EVENT)
    campaigns = world.shards[home].tenant(TENANT).loop.campaigns
    assert {version for _, version in campaigns.versions} == {1, 2}


def test_an_entry_out_of_date_takes_no_room_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a shard with a long memory and one that came from a snapshot would do different things in a Tick."""
    monkeypatch.setattr(outcomes, "DUE_AT_ONCE", 1)
    live = World(n=1)
    live.publish_campaigns(1, BY_EVENT)
    slow, quick = (treated(live, name=name) for name in ("ann", "bob"))
    live.send(event(slow, name="Looked"))
    asked, live.asked = live.asked, []
    live.now += 1
    live.send(event(quick, name="Looked", at=live.now))
    live.decide(lambda _: NO_SEND)
    live.now += 1
    live.asked = asked
    live.decide(lambda _: NO_SEND)  # its deadline, the earliest of all entries, is still in the queue
    live.tick(live.now - 1 + WINDOW_MS // 4)
    (reward,) = live.rewards()
    assert reward.decision_id == only(live, quick).id
    live.check()
