from __future__ import annotations

import json

import numpy as np
import pytest

from tests.unit.whisperer.evaluation import worked_example as worked
from whisperer.evaluation import gate
from whisperer.evaluation.gate import GateRule, judge
from whisperer.evaluation.lift import TOO_FEW_USERS
from whisperer.evaluation.logged import InvalidLogError, Logged
from whisperer.evaluation.overlap import PROPENSITIES_WRONG, TOO_LITTLE_OVERLAP, UNSUPPORTED, overlap, refusals

QUICK = GateRule(n_resamples=300)


def campaign(n: int = 8_000, rates: tuple[float, ...] = (0.1, 0.3), p: tuple[float, ...] = (0.5, 0.5)) -> Logged:
    """Arms that convert at these rates, chosen at these probabilities whatever the context; two decisions a user."""
    rng = np.random.default_rng(6)
    action = rng.choice(len(p), n, p=p)
    reward = (rng.random(n) < np.array(rates)[action]).astype(float)
    return Logged(action, reward, np.array(p)[action], np.arange(n) // 2, probabilities=np.tile(p, (n, 1)))


def reasons(verdict: gate.Verdict) -> set[str]:
    return {one.reason for one in verdict.reasons}


def test_a_policy_that_is_better_and_supported_is_promoted() -> None:
    verdict = judge(campaign(), [0.1, 0.9], rule=QUICK)
    assert verdict.promote
    assert verdict.reasons == ()
    assert set(verdict.figures.estimates) == {gate.SNIPS, gate.DR, gate.SWITCH_DR}
    for found in verdict.figures.estimates.values():
        assert found.difference.low < 0.08 < found.difference.high  # 0.1 x 0.1 + 0.9 x 0.3 - 0.2
        assert found.difference.low > 0
    assert str(verdict).startswith("Promote.")


def test_a_worse_policy_is_refused_by_each_estimator_with_both_reasons() -> None:
    verdict = judge(campaign(), [0.9, 0.1], rule=QUICK)
    assert not verdict.promote
    assert [one.reason for one in verdict.reasons] == [gate.NOT_BETTER, gate.MAY_BE_WORSE] * 3
    assert "snips does not see it ahead" in str(verdict)


def test_the_policy_in_use_is_not_promoted_over_itself() -> None:
    verdict = judge(campaign(), [0.5, 0.5], current=[0.5, 0.5], rule=QUICK)
    assert reasons(verdict) == {gate.NOT_BETTER}
    assert verdict.figures.estimates[gate.DR].difference.value == 0


def test_a_gain_too_uncertain_to_exclude_a_loss_is_refused() -> None:
    verdict = judge(campaign(rates=(0.2, 0.205)), [0.0, 1.0], rule=QUICK)
    assert gate.MAY_BE_WORSE in reasons(verdict)


def test_a_small_possible_loss_is_tolerated_as_far_as_the_rule_says() -> None:
    log = campaign(rates=(0.2, 0.215))
    low = judge(log, [0.0, 1.0], rule=QUICK).figures.estimates[gate.SNIPS]
    assert low.difference.value > 0 > low.difference.low
    share = -low.difference.low / low.current.value
    assert judge(log, [0.0, 1.0], rule=GateRule(tolerance=1.1 * share, n_resamples=300)).promote
    assert not judge(log, [0.0, 1.0], rule=GateRule(tolerance=0.9 * share, n_resamples=300)).promote


def test_a_log_worth_too_few_decisions_is_refused_however_good_the_policy_looks() -> None:
    verdict = judge(campaign(n=1_500, rates=(0.1, 0.6)), [0.0, 1.0], rule=QUICK)
    assert reasons(verdict) == {TOO_LITTLE_OVERLAP}
    assert verdict.figures.estimates[gate.DR].difference.low > 0


def test_the_current_policy_must_be_supported_too() -> None:
    verdict = judge(campaign(p=(0.03, 0.97)), [0.0, 1.0], current=[1.0, 0.0], rule=QUICK)
    assert TOO_LITTLE_OVERLAP in reasons(verdict)
    assert any(one.sentence.startswith("Of the current policy") for one in verdict.reasons)


def test_an_arm_that_the_log_could_not_take_is_named_as_the_reason() -> None:
    verdict = judge(campaign(rates=(0.1, 0.3, 0.0), p=(0.5, 0.5, 0.0)), [0.1, 0.85, 0.05], rule=QUICK)
    assert reasons(verdict) == {UNSUPPORTED}
    assert verdict.figures.overlap.unsupported == pytest.approx(0.05)


def test_without_whole_vectors_a_missing_arm_shows_in_the_mean_weight() -> None:
    log = campaign(rates=(0.1, 0.3, 0.0), p=(0.5, 0.5, 0.0))
    partial = Logged(log.action, log.reward, log.propensity, log.user)
    assert overlap(partial, [0.1, 0.7, 0.2]).unsupported == pytest.approx(0.2, abs=0.03)
    assert overlap(partial, [0.2, 0.8, 0.0]).unsupported == 0


def test_propensities_that_are_half_of_what_they_were_are_noticed() -> None:
    log = campaign()
    halved = Logged(log.action, log.reward, log.propensity / 2, log.user)
    assert PROPENSITIES_WRONG in reasons(judge(halved, [0.1, 0.9], rule=QUICK))
    assert PROPENSITIES_WRONG not in reasons(judge(log, [0.1, 0.9], rule=QUICK))


def test_nothing_in_common_is_a_refusal_not_an_error() -> None:
    verdict = judge(campaign(p=(1.0, 0.0)), [0.0, 1.0], rule=QUICK)
    assert {TOO_LITTLE_OVERLAP, UNSUPPORTED} == reasons(verdict)
    assert verdict.figures.estimates == {}
    assert verdict.figures.overlap.n_effective == 0


def test_a_handful_of_users_is_refused() -> None:
    assert TOO_FEW_USERS in reasons(judge(worked.LOG, worked.TARGET, rule=QUICK))


def test_what_is_not_a_policy_is_an_error_not_a_refusal() -> None:
    with pytest.raises(InvalidLogError):
        judge(campaign(), [0.5, 0.6], rule=QUICK)


def test_overlap_is_what_was_worked_out_by_hand() -> None:
    found = overlap(worked.LOG, worked.TARGET)
    assert found.n_effective == pytest.approx(worked.N_EFFECTIVE, abs=1e-12)
    assert (found.max_weight, found.mean_weight, found.n_users) == (3.0, 5.5 / 4, 3)
    assert found.weight_quantiles["0.5"] == 1.0
    assert [one.reason for one in refusals(found)] == [TOO_FEW_USERS, TOO_LITTLE_OVERLAP]


def test_a_verdict_is_stored_as_json_with_every_estimators_numbers() -> None:
    verdict = judge(campaign(), [0.9, 0.1], rule=QUICK)
    stored = json.loads(verdict.as_json())
    assert stored == verdict.as_dict()
    assert stored["promote"] is False
    assert stored["reasons"][0]["reason"] == gate.NOT_BETTER
    assert stored["figures"]["tau"] is None or stored["figures"]["tau"] > 0
    for name, found in verdict.figures.estimates.items():
        assert stored["figures"]["estimates"][name]["difference"]["low"] == found.difference.low
    assert stored["rule"]["tolerance"] == 0.01
