"""Scores come from outside of the state machine and stay in it: swept, journaled, replayed, moved, seen by segments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, campaign
from tests.unit.whisperer.shard.moves import move
from whisperer.ids import partition_of
from whisperer.journeys.campaign import OnSegment
from whisperer.profiles.scores import CHURN, ENGAGEMENT, BgNbdScores, moved
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.people import scoring
from whisperer.shard.records import Scored, ScoreModelChosen

LEAVING = {"feature": CHURN, "op": "gte", "value": 0.5}


def sweep(world: World) -> int:
    """Score every user as the actor does; how many records it took."""
    n_records = 0
    for number, shard in enumerate(world.shards):
        tenant, first = shard.tenant(TENANT), 0
        while (found := scoring.chunk(tenant, BgNbdScores.features, first, world.now)).n:
            body = scoring.scored(TENANT, BgNbdScores(), found)
            if body is not None:
                world.write(number, body)
                n_records += 1
            first += found.n
    return n_records


def scores(world: World, user: str) -> tuple[float | None, float | None]:
    view = world.user(user)
    assert view is not None
    return view.features[CHURN], view.features[ENGAGEMENT]


def give(world: World, user: str, churn: float, model: str = "m@1") -> None:
    """One user's churn from a model; nobody else's."""
    shard = world.home(partition_of(user, SEED))
    row = world.shards[shard].tenant(TENANT).people.keys.get(user)
    assert row is not None
    value, nothing = np.array([churn], "<f4").tobytes(), np.array([math.nan], "<f4").tobytes()
    world.write(shard, Scored(TENANT, model, row, value, nothing))


def test_a_sweep_scores_every_user_and_a_second_one_has_nothing_to_say(world: World) -> None:
    for day in range(0, 60, 3):
        world.send(event("ann", at=T0 + day * DAY))
    world.send(event("bob", at=T0))
    assert scores(world, "u:ann") == (None, None)
    world.now = T0 + 60 * DAY
    assert sweep(world) > 0
    ann, bob = scores(world, "u:ann"), scores(world, "u:bob")
    assert None not in (*ann, *bob)
    assert ann[0] < bob[0]  # type: ignore[operator]
    assert ann[1] > bob[1]  # type: ignore[operator]
    assert sweep(world) == 0
    world.now += 30 * DAY
    assert sweep(world) > 0
    assert scores(world, "u:ann")[0] > ann[0]  # type: ignore[operator]


def test_a_segment_that_looks_at_a_score_sees_it_change_at_the_next_tick(world: World) -> None:
    world.publish(1, leaving=LEAVING, quiet={"seen": "not_within", "days": 900})
    world.send(event("ann"), event("bob"))
    give(world, "u:ann", 0.9)
    home = world.shards[world.home(partition_of("u:ann", SEED))]
    assert home.wants_tick(world.now)
    world.tick()
    assert [(c.user, c.segment, c.entered) for c in world.changes] == [("u:ann", "leaving", True)]
    assert not home.wants_tick(world.now)
    give(world, "u:ann", 0.1)
    world.tick()
    assert [(c.user, c.segment, c.entered) for c in world.changes[1:]] == [("u:ann", "leaving", False)]


def test_a_campaign_that_waits_for_a_segment_on_a_score_considers_who_enters(world: World) -> None:
    world.publish_campaigns(1, campaign("win back", OnSegment("leaving")), leaving=LEAVING)
    world.send(event("ann", type="identify", traits=ADDRESSES), event("bob", type="identify", traits=ADDRESSES))
    world.tick()
    give(world, "u:ann", 0.9)
    world.tick()
    assert world.account("win back").candidates == 1
    (decision,) = world.decisions("u:ann")
    assert decision.features["score.churn"] == pytest.approx(0.9)
    assert world.decisions("u:bob") == []


def test_where_no_segment_looks_at_scores_nothing_is_evaluated_again(world: World) -> None:
    world.publish(1, quiet={"seen": "not_within", "days": 900})
    world.send(event("ann"))
    world.tick()
    give(world, "u:ann", 0.9)
    assert not any(shard.wants_tick(world.now) for shard in world.shards)


def test_a_score_for_somebody_who_was_merged_away_meanwhile_reaches_nobody(world: World) -> None:
    world.send(event(anonymous="phone"), event("ann"))
    give(world, "u:ann", 0.25)
    give(world, "a:phone", 0.75)
    world.send(event("ann", anonymous="phone", at=T0 + 1))
    world.deliver()
    home = world.home(partition_of("a:phone", SEED))
    row = world.shards[home].tenant(TENANT).people.keys.get("a:phone")
    assert row is not None
    world.write(home, Scored(TENANT, "m@2", row, np.array([0.5], "<f4").tobytes(), b"\0\0\xc0\x7f"))
    assert scores(world, "u:ann") == (0.25, None)
    inspection.check(world.shards[home])


def test_scores_move_with_their_partition_and_live_on_in_a_snapshot(world: World) -> None:
    world.send(event("ann"))
    give(world, "u:ann", 0.625)
    move(world, partition_of("u:ann", SEED), 2)
    assert scores(world, "u:ann") == (0.625, None)
    for shard in world.shards:
        copy = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
        assert inspection.digest(copy) == inspection.digest(shard)


def test_the_model_chosen_holds_until_another_is(world: World) -> None:
    chosen = ScoreModelChosen(TENANT, "file:///models", "churn", 3, "0" * 64)
    world.write(0, chosen)
    tenant = world.shards[0].tenant(TENANT)
    assert tenant.score_model == chosen
    copy = snapshot.load(*snapshot.dump(world.shards[0]), DEFAULT_MAX_IDS)
    assert copy.tenant(TENANT).score_model == chosen
    world.write(0, ScoreModelChosen(TENANT))
    assert tenant.score_model is None


def test_scores_belong_to_the_digest(world: World) -> None:
    world.send(event("ann"))
    give(world, "u:ann", 0.625)
    home = world.shards[world.home(partition_of("u:ann", SEED))]
    before = inspection.digest(home)
    give(world, "u:ann", 0.75)
    assert inspection.digest(home) != before


def test_a_score_outside_of_0_to_1_is_cut_and_one_that_hardly_moved_is_left() -> None:
    held = np.array([np.nan, 0.5, 0.5, 0.5], np.float32)
    found = moved(held, np.array([1.5, 0.501, 0.6, np.nan]))
    assert found.tolist()[0] == 1.0
    assert found.tolist()[2] == pytest.approx(0.6)
    assert np.isnan(found[[1, 3]]).all()
