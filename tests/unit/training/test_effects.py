"""The ground truth: what it says of people, and what policies are worth under it."""

from __future__ import annotations

import doctest
from itertools import pairwise

import numpy as np
import pytest

from training.simulator import truth
from training.simulator.effects import (
    ARMS,
    COST,
    NUDGE_PUSH,
    NUDGE_SMS,
    OFFER_EMAIL,
    PERIOD_DAYS,
    TIPS_EMAIL,
    Effects,
    Floats,
)
from training.simulator.truth import a_population, worth
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND

SEEDS = (1, 7, 23)
MOMENTS = tuple(np.arange(0.0, PERIOD_DAYS, 3.5).tolist())


def someone(**values: float) -> Floats:
    """One person: habitual, never paid, midday, nothing sent yet."""
    usual = {"events_7d": 40.0, "revenue": 0.0, "tenure_days": 10.0, "local_hour": 12.0, "sends_7d": 0.0}
    return np.array([[{**usual, **values}.get(name, np.nan) for name in NAMES]])


def chance(arm: str, effects: Effects | None = None, **values: float) -> float:
    still = effects or Effects(7, drift=0.0)
    return float(still.conversion_probability(someone(**values), ARMS.index(arm), 0.0)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_single_arm_clearly_beats_no_send_and_personal_choice_clearly_beats_it(seed: int) -> None:
    features, taste = a_population(20_000, seed)
    ratios = []
    for t in MOMENTS:
        found = worth(Effects(seed), features, t, taste)
        best_single = found.single[found.best_single_arm]
        assert best_single > 1.2 * found.no_send
        assert found.visible_best > 1.35 * best_single
        assert found.best > found.visible_best > found.uniform > found.no_send
        ratios.append(found.visible_best / best_single)
    assert np.mean(ratios) > 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_left_alone_about_one_in_nine_converts(seed: int) -> None:
    features, _ = a_population(20_000, seed)
    assert Effects(seed).probabilities(features, 0.0)[:, 0].mean() == pytest.approx(0.11, abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_responses_have_the_stated_marginal_rates_of_every_arm(seed: int) -> None:
    features, taste = a_population(20_000, seed)
    effects = Effects(seed)
    luck = np.array([effects.luck("occasion", str(i)) for i in range(len(features))])
    for place in range(len(ARMS)):
        stated = effects.conversion_probability(features, place, 3.0, taste)
        converted = luck < stated
        error = np.sqrt((stated * (1 - stated)).sum()) / len(stated)
        assert converted.mean() == pytest.approx(stated.mean(), abs=4 * error)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_arm_harms_some_people_and_is_best_for_many(seed: int) -> None:
    features, taste = a_population(20_000, seed)
    effects = Effects(seed)
    for t in (0.0, 14.0):
        found = effects.probabilities(features, t, taste)
        best = effects.best_arm(features, t, taste)
        for place in range(1, len(ARMS)):
            assert (found[:, place] < found[:, 0] - 0.01).mean() > 0.1
            assert (best == place).mean() > 0.04


def test_effects_follow_what_a_decision_can_see() -> None:
    assert chance(TIPS_EMAIL, events_7d=5.0) > 1.5 * chance(TIPS_EMAIL, events_7d=200.0), "tips are for beginners"
    assert chance(NUDGE_PUSH, events_7d=200.0) > 1.5 * chance(NUDGE_PUSH, events_7d=5.0), "push for the habitual"
    assert chance(OFFER_EMAIL, revenue=199.0) < chance(NO_SEND, revenue=199.0), "who pays resents a discount"
    assert chance(NUDGE_SMS, local_hour=22.0) > 2 * chance(NUDGE_SMS, local_hour=10.0), "a text is for the evening"


def test_a_message_moves_nobody_who_was_not_sent_one_and_no_send_never_drifts() -> None:
    features, taste = a_population(500, 1)
    effects = Effects(1)
    assert np.array_equal(effects.probabilities(features, 0.0)[:, 0], effects.probabilities(features, 9.0, taste)[:, 0])
    assert COST[0] == 0
    assert not effects.unsubscribe_probability(features, 0).any()


def test_fatigue_shrinks_effects_and_drives_people_away() -> None:
    push = ARMS.index(NUDGE_PUSH)
    tired = [{"sends_7d": float(n), "hours_since_send": 30.0} for n in (1, 4, 12)]
    chances = [chance(NUDGE_PUSH), *(chance(NUDGE_PUSH, **values) for values in tired)]
    assert all(later < earlier for earlier, later in pairwise(chances))
    assert chances[-1] > chance(NO_SEND), "an effect is worn out; it does not turn around"
    leaves = [Effects(7).unsubscribe_probability(someone(**values), push)[0] for values in tired]
    assert all(later > 1.3 * earlier for earlier, later in pairwise(leaves))
    just_now = Effects(7).unsubscribe_probability(someone(sends_7d=1.0, hours_since_send=0.1), push)[0]
    assert just_now > 1.5 * leaves[0]
    patient = Effects(7).unsubscribe_probability(someone(sends_7d=1.0, hours_since_send=0.1), push, patience=2.0)[0]
    assert patient == pytest.approx(just_now / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_which_arm_is_best_for_all_changes_within_a_period_and_comes_back(seed: int) -> None:
    features, taste = a_population(20_000, seed)
    effects = Effects(seed)
    assert len({worth(effects, features, t, taste).best_single_arm for t in MOMENTS}) >= 2
    assert np.allclose(effects.probabilities(features, 2.0), effects.probabilities(features, 2.0 + PERIOD_DAYS))
    still = Effects(seed, drift=0.0)
    assert np.array_equal(still.probabilities(features, 0.0), still.probabilities(features, 11.0))


def test_the_same_seed_says_the_same_and_another_seed_something_else() -> None:
    features, _ = a_population(200, 1)
    people = [f"usr_{i}" for i in range(50)]
    first, again, other = Effects(1), Effects(1), Effects(2)
    assert np.array_equal(first.probabilities(features, 1.0), again.probabilities(features, 1.0))
    assert not np.array_equal(first.probabilities(features, 1.0), other.probabilities(features, 1.0))
    assert np.array_equal(first.taste(people), again.taste(people))
    assert np.array_equal(first.taste(people)[7:8], first.taste(people[7:8])), (
        "a person's taste is nobody else's matter"
    )
    assert not np.array_equal(first.taste(people), other.taste(people))
    assert first.luck("a", "b") == again.luck("a", "b") != other.luck("a", "b")
    assert first.luck("a", "b") != first.luck("ab")


def test_moments_and_arms_may_differ_by_person() -> None:
    features, taste = a_population(40, 5)
    effects = Effects(5)
    arms, moments = np.arange(40) % len(ARMS), np.linspace(0, 30, 40)
    together = effects.conversion_probability(features, arms, moments, taste)
    for i in range(40):
        alone = effects.conversion_probability(features[i : i + 1], int(arms[i]), moments[i], taste[i : i + 1])
        assert together[i] == pytest.approx(alone[0], rel=1e-12)


def test_absent_features_are_taken_as_usual_ones_and_extremes_stay_probabilities() -> None:
    effects = Effects(7)
    for value in (np.nan, 0.0, 1e12, -1e12):
        found = effects.probabilities(np.full((1, len(NAMES)), value), 0.0)
        assert ((found > 0) & (found < 1)).all()


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Effects(7).probabilities(np.zeros((3, 2)), 0.0)


def test_the_documented_examples_run() -> None:
    assert doctest.testmod(truth).attempted > 0
    assert doctest.testmod(truth).failed == 0
