"""What is left of an erased user, and what somebody of whom nothing is held may still say."""

from __future__ import annotations

from tests.support.shard_world import SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, ON_REQUEST
from tests.unit.whisperer.shard.moves import move
from whisperer.eligibility.groups import draw
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS
from whisperer.shard.records import Asked, ConsentStated, ErasureDone, Outcome, Outcomes
from whisperer.vocabulary.groups import Group

ANN = next(f"ann{i}" for i in range(100) if draw(f"u:ann{i}", "salt", 0.3, 0.3) != Group.HOLDOUT)
PLACE = partition_of(f"u:{ANN}", SEED)


def home(world: World) -> int:
    return world.home(PLACE)


def unsubscribe(world: World) -> None:
    """By the link in a message that an erased user still has."""
    outcome = Outcome(f"u:{ANN}", "dec_gone", OutcomeKind.UNSUBSCRIBED, world.now, channel="email", purpose="marketing")
    world.write(home(world), Outcomes(TENANT, [outcome]))


def come_back(world: World) -> None:
    world.now += 1_000
    world.send(event(ANN, type="identify", traits=ADDRESSES, at=world.now))


def refused_arms(world: World) -> dict[str, str]:
    world.write(home(world), Asked(TENANT, "asked", [(f"u:{ANN}", f"k{world.now}")]))
    found: dict[str, str] = world.decisions(f"u:{ANN}")[-1].refused_arms
    return found


def test_a_link_that_outlives_its_user_unsubscribes_whoever_comes_back_under_the_id(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    world.send(event(ANN, type="identify", traits=ADDRESSES))
    world.now += 1
    world.erase(f"u:{ANN}")
    unsubscribe(world)
    assert world.user(f"u:{ANN}") is None
    come_back(world)
    view = world.user(f"u:{ANN}")
    assert view is not None
    assert [not statement.granted for statement in view.standing.consent.values()] == [True]
    assert refused_arms(world)["mail"] == "no_consent"


def test_such_a_wish_goes_through_a_snapshot_and_moves_with_its_partition(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    world.now += 1
    unsubscribe(world)
    shard = world.shards[home(world)]
    world.shards[home(world)] = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
    assert inspection.digest(world.shards[home(world)]) == inspection.digest(shard)
    move(world, PLACE, 2)
    come_back(world)
    assert refused_arms(world)["mail"] == "no_consent"


def test_who_unsubscribed_by_such_a_link_may_agree_again(world: World) -> None:
    world.publish_campaigns(1, ON_REQUEST)
    world.now += 1
    unsubscribe(world)
    come_back(world)
    world.now += 1
    world.write(home(world), ConsentStated(TENANT, f"u:{ANN}", "email", "marketing", True, "form"))
    assert "mail" not in refused_arms(world)


def test_an_erasure_that_is_done_does_not_end_a_later_one_of_the_same_user(world: World) -> None:
    world.send(event(ANN))
    world.now = first = T0 + 10
    world.erase(f"u:{ANN}")
    world.send(event(ANN, at=T0 + 11))
    world.now = T0 + 20
    world.erase(f"u:{ANN}")
    world.write(home(world), ErasureDone(TENANT, f"u:{ANN}", first))
    assert world.shards[home(world)].tenant(TENANT).erasing == {f"u:{ANN}": T0 + 20}
    world.write(home(world), ErasureDone(TENANT, f"u:{ANN}", T0 + 20))
    assert world.shards[home(world)].tenant(TENANT).erasing == {}


def test_events_from_before_an_erasure_that_come_late_are_marked_where_they_were_journaled(world: World) -> None:
    """The mask stays with the journal when the partition goes: its former home exports them."""
    world.send(event(ANN))
    world.now += 10
    world.erase(f"u:{ANN}")
    world.send(event(ANN, at=T0 + 1), event(ANN, at=T0 + 5))
    source = home(world)
    move(world, PLACE, 2)
    (mask,) = world.shards[source].repeats.values()
    assert mask.tolist() == [False, False]
