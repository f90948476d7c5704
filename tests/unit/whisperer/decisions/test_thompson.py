from __future__ import annotations

import math
import pickle
import random

import msgspec
import numpy as np
import pytest

from tests.unit.whisperer.decisions.making import ARMS, KEY, candidates, learned
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND, Candidate, Choice, seed_of
from whisperer.decisions.posterior import FLOOR, decode, encode, posterior
from whisperer.decisions.thompson import N_DRAWS, choose, fault_of, mixed
from whisperer.errors import InvariantError
from whisperer.vocabulary.groups import GROUPS, Group

POLICIES = {KEY: posterior(learned({"no_send": 0.1, "mail": 0.3, "sms": 0.25}), 4)}


def mixture(n: int) -> list[Candidate]:
    """Groups, campaigns and eligible arms, all mixed up."""
    sets = [ARMS, ARMS[:2], ["no_send", "sms", "mail", "unheard-of"], ["no_send"]]
    made = []
    for group in GROUPS:
        for at, arms in enumerate(sets):
            for campaign in ("campaign", "other"):
                made += candidates(n, group=group, arms=arms, campaign=campaign, name=f"{group}{at}{campaign}")
    random.Random(5).shuffle(made)
    return made


def test_a_choice_does_not_depend_on_the_batch_to_the_bit() -> None:
    every = mixture(20)
    together = choose(every, POLICIES)
    alone = [choose([candidate], POLICIES)[0] for candidate in every]
    backwards = choose(every[::-1], POLICIES)[::-1]
    assert together == alone == backwards
    assert [choice.decision_id for choice in together] == [candidate.decision_id for candidate in every]


def test_the_same_candidate_gets_the_same_choice_from_a_policy_that_was_sent() -> None:
    every = mixture(5)
    sent = decode(encode(POLICIES.items()))
    assert choose(every, POLICIES) == choose(every, sent)


def test_the_choice_of_one_candidate_is_pinned_for_good() -> None:
    """An audit years later has to find the same draws: this fails if the table, the mixing or the order changes."""
    (choice,) = choose(candidates(1, name="pinned"), {})
    assert choice.seed == seed_of("pinned_0") == 1417073137995633379
    assert [round((p - FLOOR) / (1 - 3 * FLOOR) * N_DRAWS, 6) for p in choice.propensities] == [20, 23, 21]
    assert choice.arm == "no_send"


def test_the_holdout_is_left_alone_with_certainty() -> None:
    for choice in choose(candidates(50, group=Group.HOLDOUT), POLICIES):
        assert (choice.arm, choice.propensity, choice.propensities) == (NO_SEND, 1.0, [1.0, 0.0, 0.0])
        assert choice.policy_version == Group.HOLDOUT
        assert choice.means == choice.spreads == [0.0, 0.0, 0.0]


def test_uniform_gives_every_eligible_arm_the_same_chance() -> None:
    made = choose(candidates(600, group=Group.UNIFORM), POLICIES)
    assert {choice.propensity for choice in made} == {1 / 3}
    assert {choice.policy_version for choice in made} == {Group.UNIFORM}
    taken = [sum(choice.arm == arm for choice in made) for arm in ARMS]
    assert min(taken) > 150


def test_every_vector_sums_to_one_keeps_the_floor_and_holds_what_was_recorded() -> None:
    for choice in choose(mixture(30), POLICIES):
        assert sum(choice.propensities) == pytest.approx(1, abs=1e-12)
        assert choice.propensity == choice.propensities[choice.arms.index(choice.arm)] > 0
        if "@" in choice.policy_version:
            assert min(choice.propensities) >= FLOOR
            assert len(choice.means) == len(choice.spreads) == len(choice.arms)


def test_the_best_arm_is_taken_most_and_the_version_says_why() -> None:
    made = choose(candidates(500), {KEY: posterior(learned({"no_send": 0.05, "mail": 0.6, "sms": 0.1}, 2000), 9)})
    assert sum(choice.arm == "mail" for choice in made) > 400
    assert {choice.policy_version for choice in made} == {"campaign@9"}


def test_a_campaign_nothing_is_known_of_is_decided_by_chance() -> None:
    made = choose(candidates(500, campaign="new"), POLICIES)
    assert {choice.policy_version for choice in made} == {"new@0"}
    assert np.mean([choice.propensities for choice in made], axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)


def test_a_new_arm_is_tried_and_an_old_one_may_vanish() -> None:
    made = choose(candidates(400, arms=["no_send", "mail", "brand-new"]), POLICIES)
    assert sum(choice.arm == "brand-new" for choice in made) > 40
    assert all("sms" not in choice.arms for choice in made)


def test_where_no_send_stands_does_not_matter_to_the_holdout() -> None:
    (choice,) = choose(candidates(1, group=Group.HOLDOUT, arms=["mail", "no_send"]), POLICIES)
    assert (choice.arm, choice.propensities) == ("no_send", [0.0, 1.0])


@pytest.mark.parametrize("features", [[math.nan] * len(NAMES), [math.inf, -math.inf] * 7, [], [1e308] * 20])
def test_features_that_are_absent_or_absurd_are_decided_too(features: list[float]) -> None:
    asked = [Candidate("dec_x", *KEY, 1, "policy", ARMS, features, 0)]
    (choice,) = choose(asked, POLICIES)
    assert all(math.isfinite(number) for number in choice.means + choice.spreads + choice.propensities)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"group": "nobody"}, "group 'nobody' does not exist"),
        ({"arms": ["mail"]}, "no_send is not among its arms"),
        ({"arms": []}, "no_send is not among its arms"),
        ({"arms": ["no_send", "mail", "mail"]}, "an arm is listed twice"),
        ({"scores": [0.0, 0.1]}, "its scores are not one an arm"),
    ],
)
def test_a_candidate_that_cannot_be_decided_says_why(changes: dict[str, object], fault: str) -> None:
    candidate = msgspec.structs.replace(candidates(1)[0], **changes)
    assert fault_of(candidate) == fault
    with pytest.raises(InvariantError, match="dec_0 cannot be decided"):
        choose([candidate], POLICIES)


def test_many_arms_leave_the_policy_half_of_the_probability() -> None:
    shares = np.zeros((1, 100))
    shares[0, 3] = 1
    assert mixed(shares)[0, 3] == pytest.approx(0.505)
    assert mixed(shares).sum() == pytest.approx(1)
    arms = ["no_send", *(f"arm{at}" for at in range(200))]
    (choice,) = choose(candidates(1, arms=arms), POLICIES)
    assert choice.arm in arms


def test_choices_travel() -> None:
    made = choose(mixture(2), POLICIES)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=list[Choice]) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert choose([], POLICIES) == []


def test_before_any_reward_the_arm_that_a_model_prefers_is_chosen_most_and_by_its_own_users() -> None:
    asked = candidates(400)
    scores = [[0.0, 1.5, math.nan], [0.0, -1.5, 1.5]]
    asked = [msgspec.structs.replace(one, scores=scores[at % 2]) for at, one in enumerate(asked)]
    made = choose(asked, {})
    assert sum(choice.arm == "mail" for choice in made[::2]) > 150
    assert sum(choice.arm == "sms" for choice in made[1::2]) > 150
    assert made[0].scores == scores[0]
    assert all(math.isnan(c.score) if c.arm == "sms" else c.score == c.scores[c.arms.index(c.arm)] for c in made[::2])
    assert choose(asked[5:6], {}) == made[5:6]


def test_scores_of_zero_and_none_at_all_are_decided_alike() -> None:
    asked = candidates(50)
    zeros = [msgspec.structs.replace(one, scores=[0.0] * 3) for one in asked]
    mixture = [zeros[at] if at % 2 else asked[at] for at in range(50)]
    assert [c.propensities for c in choose(mixture, POLICIES)] == [c.propensities for c in choose(asked, POLICIES)]


def test_candidates_and_choices_logged_by_older_releases_are_read() -> None:
    candidate, (choice,) = candidates(1)[0], choose(candidates(1), POLICIES)
    for logged in (candidate, choice):
        fields = msgspec.msgpack.decode(msgspec.msgpack.encode(logged))
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields[:-1]), type=type(logged)) == logged
    assert math.isnan(choice.score)


def test_a_policy_in_alarm_keeps_its_own_floor() -> None:
    alarmed = posterior(learned({"no_send": 0.1, "mail": 0.9, "sms": 0.1}, 2_000), 1, floor=0.1)
    made = choose(candidates(200), {KEY: alarmed})
    assert min(min(choice.propensities) for choice in made) == pytest.approx(0.1)
