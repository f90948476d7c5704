from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.feedback.earning import CAMPAIGN, DAY, TENANT, early, fed, final, numbers_of, reward, same
from whisperer.decisions import linear
from whisperer.decisions.context import SCORE
from whisperer.feedback import ledger as module
from whisperer.feedback.ledger import WAIT_DAYS, Ledger, RewardFate
from whisperer.feedback.outcome import Reward

KEY = (TENANT, CAMPAIGN)


def n_of(ledger: Ledger, arm: str = "mail") -> float:
    return ledger.statistics[KEY].arm(arm).n


def test_a_final_reward_replaces_the_early_one_as_if_it_had_never_been() -> None:
    replaced = fed([early(0, "a", 0.25), early(1, "b", 0.0), final(2, "a", 0.75)])
    assert same(replaced, fed([final(0, "a", 0.75), early(1, "b", 0.0)]))
    assert n_of(replaced) == 2


def test_early_and_final_in_one_batch_and_in_two_come_to_the_same() -> None:
    rewards = [early(0, "a", 0.25), final(1, "a", 0.75)]
    two = Ledger()
    for one in rewards:
        two.apply(0, [(TENANT, one)])
    assert same(two, fed(rewards))
    assert same(two, fed([final(0, "a", 0.75)]))


def test_a_late_early_reward_changes_nothing() -> None:
    ledger = fed([final(0, "a", 0.75)], [early(0, "a", 0.25)])
    assert same(ledger, fed([final(0, "a", 0.75)]))
    assert ledger.fates[RewardFate.SUPERSEDED] == 1


def test_an_older_revision_changes_nothing() -> None:
    ledger = fed([early(0, "a", 0.5, revision=2), early(1, "a", 0.1, revision=1)])
    assert same(ledger, fed([early(0, "a", 0.5)]))


def test_a_later_revision_that_is_still_early_replaces_too() -> None:
    ledger = fed([early(0, "a", 0.1, revision=1), early(1, "a", 0.5, revision=2), final(2, "a", 0.9, revision=3)])
    assert same(ledger, fed([final(0, "a", 0.9)]))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_interleaving_of_shards_and_any_batching_comes_to_the_same(data: st.DataObject) -> None:
    """Each decision's rewards come from one shard in order, or, after a move, from two in any order."""
    names = [f"d{at}" for at in range(8)]
    shards: list[list[Reward]] = [[], []]
    for at, name in enumerate(names):
        home = data.draw(st.sampled_from([0, 1]))
        later = data.draw(st.sampled_from([home, 1 - home]))
        for shard, make, value in ((home, early, 0.1 * at), (later, final, 0.2 * at)):
            shards[shard].append(make(len(shards[shard]), name, value))
    ledger, places = Ledger(), [0, 0]
    while places != [len(shards[0]), len(shards[1])]:
        shard = data.draw(st.sampled_from([at for at in (0, 1) if places[at] < len(shards[at])]))
        count = data.draw(st.integers(1, len(shards[shard]) - places[shard]))
        # What was seen already may come again.
        start = data.draw(st.integers(0, places[shard]))
        ledger.apply(shard, [(TENANT, one) for one in shards[shard][start : places[shard] + count]])
        places[shard] += count
    assert same(ledger, fed([final(at, name, 0.2 * at) for at, name in enumerate(names)]))
    assert ledger.n_early == 0


def test_the_same_numbers_again_change_nothing() -> None:
    rewards = [early(0, "a"), final(1, "a"), reward(2), reward(3, group="uniform")]
    ledger = fed(rewards)
    before = numbers_of(ledger.statistics[KEY]).tobytes()
    ledger.apply(0, [(TENANT, one) for one in rewards])
    assert numbers_of(ledger.statistics[KEY]).tobytes() == before
    assert ledger.fates[RewardFate.REPEATED] == 4
    assert ledger.since(0) == {TENANT: 4}


def test_tenants_and_shards_count_their_numbers_apart() -> None:
    ledger = Ledger()
    ledger.apply(0, [("one", reward(0)), ("two", reward(0))])
    ledger.apply(1, [("one", reward(0, "other"))])
    assert ledger.fates == {RewardFate.LEARNED: 3}
    assert ledger.offsets == {(0, "one"): 1, (0, "two"): 1, (1, "one"): 1}
    assert set(ledger.statistics) == {("one", CAMPAIGN), ("two", CAMPAIGN)}


def test_the_same_decision_id_of_two_tenants_is_two_decisions() -> None:
    ledger = Ledger()
    ledger.apply(0, [("one", reward(0, "x")), ("two", reward(0, "x"))])
    assert ledger.fates == {RewardFate.LEARNED: 2}


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        ({"propensity": 0.0}, RewardFate.BAD_PROPENSITY),
        ({"propensity": -0.1}, RewardFate.BAD_PROPENSITY),
        ({"propensity": 1.0001}, RewardFate.BAD_PROPENSITY),
        ({"propensity": math.nan}, RewardFate.BAD_PROPENSITY),
        ({"propensity": math.inf}, RewardFate.BAD_PROPENSITY),
        ({"group": "strangers"}, RewardFate.BAD_GROUP),
        ({"arm": "never offered"}, RewardFate.BAD_ARM),
        ({"group": "holdout", "arm": "no_send", "propensity": 1.0}, RewardFate.HOLDOUT),
    ],
)
def test_what_must_not_be_learned_is_counted_by_reason(changes: dict[str, Any], fate: RewardFate) -> None:
    ledger = Ledger()
    assert ledger.apply(0, [(TENANT, reward(0, **changes))]) == set()
    assert ledger.fates == {fate: 1}
    assert ledger.statistics == {}
    assert ledger.since(0) == {TENANT: 1}  # and not asked for again


def test_uniform_and_policy_are_learned_from_alike() -> None:
    ledger = fed([reward(0, "a", group="uniform"), reward(1, "b", group="policy")])
    assert n_of(ledger) == 2


def test_the_arm_that_leaves_the_user_alone_is_learned_as_well() -> None:
    ledger = fed([reward(0, arm="no_send")])
    assert n_of(ledger, "no_send") == 1


def test_a_replaced_reward_keeps_the_weight_of_its_first_day() -> None:
    late = fed([early(0, "a", day=DAY), reward(1, "b", day=DAY + 3), final(2, "a", day=DAY + 3)])
    expected = 0.99**3 + 1
    assert n_of(late) == pytest.approx(expected)
    assert late.statistics[KEY].arm("mail").squares == pytest.approx(expected)


def test_numbers_that_a_shard_no_longer_has_are_counted_as_missing() -> None:
    ledger = fed([reward(5), reward(6)])
    assert (ledger.n_missing, ledger.since(0)) == (5, {TENANT: 7})


def test_when_too_many_wait_early_looks_are_passed_over_and_nothing_is_lost() -> None:
    ledger = Ledger(max_early=2)
    ledger.apply(0, [(TENANT, early(at, f"d{at}")) for at in range(5)])
    assert (ledger.n_early, ledger.fates[RewardFate.DEFERRED], n_of(ledger)) == (2, 3, 2)
    ledger.apply(0, [(TENANT, final(5 + at, f"d{at}")) for at in range(5)])
    assert same(ledger, fed([final(at, f"d{at}") for at in range(5)]))


def test_a_decision_that_waits_in_vain_makes_room_and_stays_counted_once() -> None:
    ledger = Ledger(max_early=1)
    ledger.apply(0, [(TENANT, early(0, "erased", 0.5)), (TENANT, early(1, "next", day=DAY + WAIT_DAYS))])
    assert ledger.fates == {RewardFate.LEARNED: 2}
    ledger.apply(0, [(TENANT, final(2, "erased", day=DAY + WAIT_DAYS))])
    assert ledger.fates[RewardFate.SUPERSEDED] == 1


def test_only_the_newest_final_ids_are_remembered() -> None:
    ledger = Ledger(max_final=3)
    ledger.apply(0, [(TENANT, final(at, f"d{at}")) for at in range(5)])
    ledger.apply(1, [(TENANT, early(0, "d4"))])
    assert ledger.fates == {RewardFate.LEARNED: 5, RewardFate.SUPERSEDED: 1}


@given(st.integers(0, 7))
def test_stored_and_taken_up_again_anywhere_it_goes_on_as_before(cut: int) -> None:
    rewards = [
        early(0, "a", 0.1),
        reward(1, "b", group="uniform"),
        reward(2, "h", group="holdout", arm="no_send"),
        final(3, "a", 0.7, day=DAY + 1),
        early(4, "c"),
        final(5, "c", 0.4),
        early(6, "a"),
    ]
    whole = fed(rewards)
    ledger = fed(rewards[:cut])
    again = Ledger.from_bytes(ledger.state_bytes())
    assert again.state_bytes() == ledger.state_bytes()
    again.apply(0, [(TENANT, one) for one in rewards[cut:]])
    assert same(again, whole)
    assert (again.fates, again.offsets, again.n_early) == (whole.fates, whole.offsets, whole.n_early)


def test_a_changed_context_starts_statistics_anew_and_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = fed([early(0, "a"), final(1, "b"), early(2, "b")])
    data = ledger.state_bytes()
    monkeypatch.setattr(linear, "CONTEXT_VERSION", linear.CONTEXT_VERSION + 1)
    again = Ledger.from_bytes(data)
    assert (again.dropped, again.statistics, again.n_early) == ([KEY], {}, 0)
    again.apply(0, [(TENANT, final(3, "a")), (TENANT, early(4, "b"))])
    assert n_of(again) == 1


def test_bytes_of_another_form_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = fed([reward(0)]).state_bytes()
    monkeypatch.setattr(module, "FORM_VERSION", module.FORM_VERSION + 1)
    with pytest.raises(msgspec.ValidationError, match="form 1"):
        Ledger.from_bytes(data)


def test_it_says_which_campaigns_changed() -> None:
    ledger = Ledger()
    changed = ledger.apply(0, [(TENANT, reward(0)), (TENANT, reward(1, campaign="other", group="holdout"))])
    assert changed == {KEY}
    assert ledger.apply(0, [(TENANT, reward(0))]) == set()


def test_each_final_reward_is_looked_at_once_with_the_model_s_score_in_its_place() -> None:
    seen: list[tuple[Any, ...]] = []
    rewards = [
        early(0, "a", 0.1),
        final(1, "a", 0.7, day=DAY + 1, score=0.5),
        final(2, "b", 0.4, day=DAY + 2, score=math.nan),
        final(3, "b", 0.4),
        reward(4, "h", group="holdout", arm="no_send"),
    ]
    ledger = Ledger()
    for batch in (rewards[:1], rewards[1:], rewards):
        ledger.apply(0, [(TENANT, one) for one in batch], lambda *shown: seen.append(shown))
    by_reward = {
        float(value): (campaign, arm, float(row[SCORE]))
        for campaign, arm, x, values, _ in seen
        for row, value in zip(x, values, strict=True)
    }
    assert by_reward == {0.7: (KEY, "mail", 0.5), 0.4: (KEY, "mail", 0.0)}
    assert sum(len(values) for *_, values, _ in seen) == 2
    assert max(day for *_, day in seen) == DAY + 2


def test_a_reward_logged_before_there_were_scores_is_read() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(reward(0)))
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(fields[:-1]), type=Reward)
    assert math.isnan(read.score)
    assert same(fed([read]), fed([reward(0)]))
