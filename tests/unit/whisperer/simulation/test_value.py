"""What a policy is worth by logged decisions: near the truth, or not stated, with the reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.whisperer.shard.campaigns import MAIL, TEXT, campaign
from tests.unit.whisperer.simulation.past import T0, TENANT
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND
from whisperer.journeys.campaign import Arm, Campaign, Goal
from whisperer.simulation.plan import LEARNED
from whisperer.simulation.policy import named
from whisperer.simulation.value import NO_ARM, NO_LOG, NOT_ENOUGH, DecisionLog, NotEstimated, Value, estimate, like_arms
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import MICROS

ABSENT = [math.nan] * len(NAMES)
EARNS = {NO_SEND: 0.1, "mail": 0.3, "text": 0.2}
SHARES = {NO_SEND: 0.2, "mail": 0.2, "text": 0.6}


def log(n: int, made: Campaign | None = None, *, gone: tuple[str, ...] = (), seed: int = 1) -> DecisionLog:
    """Decisions by fixed shares; a goal is reached as often as EARNS says."""
    rng = np.random.default_rng(seed)
    arms = [arm for arm in SHARES if arm not in gone]
    p = np.array([SHARES[arm] for arm in arms])
    p /= p.sum()
    chosen = [arms[at] for at in rng.choice(len(arms), n, p=p)]
    reward = [MICROS * int(rng.random() < EARNS[arm]) for arm in chosen]
    users = [f"u:{at}" for at in rng.integers(0, n, n)]
    return DecisionLog(made or campaign(), users, chosen, [arms] * n, [p.tolist()] * n, [ABSENT] * n, [T0] * n, reward)


def worth(made: Campaign, policy: str, *logs: DecisionLog) -> Value | NotEstimated:
    return estimate(made, TENANT, named(policy, {}), policy, logs)


@pytest.mark.parametrize(("policy", "truth"), [("arm:mail", 0.3), ("arm:no_send", 0.1), (Group.UNIFORM, 0.2)])
def test_a_policy_is_worth_what_it_would_have_earned(policy: str, truth: float) -> None:
    found = worth(campaign(), policy, log(4_000))
    assert isinstance(found, Value)
    assert found.estimate.low < truth < found.estimate.high
    assert found.estimate.high - found.estimate.low < 0.1
    assert found.over_no_send is not None
    assert found.over_no_send.value == pytest.approx(found.estimate.value - 0.1, abs=0.03)
    assert set(found.estimates) == {"dr", "snips", "switch_dr"}
    assert (found.source, found.caveats) == ("nudge", ())


def test_what_has_learned_from_the_log_is_flattered_and_says_so() -> None:
    found = worth(campaign(), LEARNED, log(3_000))
    assert isinstance(found, Value)
    assert "flatters" in found.caveats[0]


def test_without_a_log_nothing_is_stated() -> None:
    for logs in ([], [log(0)]):
        found = worth(campaign(), Group.UNIFORM, *logs)
        assert isinstance(found, NotEstimated)
        assert found.reason == NO_LOG


def test_an_arm_that_nobody_tried_has_no_value() -> None:
    new = campaign(arms=(MAIL, TEXT, Arm("push", "push", "hello-push", 1)))
    found = worth(new, Group.UNIFORM, log(3_000))
    assert isinstance(found, NotEstimated)
    assert (found.reason, "push" in found.sentence) == (NO_ARM, True)


def test_too_few_decisions_have_no_value() -> None:
    found = worth(campaign(), "arm:mail", log(200))
    assert isinstance(found, NotEstimated)
    assert (found.reason, "nudge" in found.sentence) == (NOT_ENOUGH, True)


def test_an_arm_that_is_no_more_is_left_out_and_the_rest_keeps_its_meaning() -> None:
    found = worth(campaign(arms=(MAIL,)), "arm:mail", log(4_000))
    assert isinstance(found, Value)
    assert found.n_decisions < 4_000
    assert found.estimate.low < 0.3 < found.estimate.high


def test_a_campaign_that_never_ran_is_judged_by_one_that_is_like_it() -> None:
    renamed = (Arm("a", "email", "hello", 1), Arm("b", "sms", "hello-sms", 1))
    found = worth(campaign("new", arms=renamed), "arm:a", log(4_000))
    assert isinstance(found, Value)
    assert found.estimate.low < 0.3 < found.estimate.high
    assert (found.source, "nudge" in found.caveats[0]) == ("nudge", True)


def test_its_own_log_comes_first() -> None:
    found = worth(campaign("new"), "arm:mail", log(3_000, campaign("new")), log(3_000))
    assert isinstance(found, Value)
    assert found.source == "new"


@pytest.mark.parametrize(
    "other",
    [
        campaign("other", goal=Goal("Paid", 3_600)),
        campaign("other", goal=Goal("Bought", 7_200)),
        campaign("other", goal=Goal("Bought", 3_600, "revenue", 10.0)),
        campaign("other", purpose="newsletter"),
    ],
)
def test_campaigns_of_another_goal_or_purpose_are_not_alike(other: Campaign) -> None:
    assert like_arms(campaign(), other) is None
    found = worth(campaign(), "arm:mail", log(3_000, other))
    assert isinstance(found, NotEstimated)


def test_arms_of_another_offer_or_channel_are_not_alike() -> None:
    dearer = campaign("other", arms=(Arm("mail", "email", "hello", 1, {"percent": 20}), TEXT))
    assert like_arms(campaign(), dearer) == {"text": "text", NO_SEND: NO_SEND}
    moved = campaign(arms=(Arm("mail", "sms", "hello-sms", 1),))
    assert like_arms(moved, campaign()) == {NO_SEND: NO_SEND}, "of the same name, over another channel"


def test_a_log_that_is_none_has_a_reason_instead_of_a_value() -> None:
    odd = log(2_000)
    where = next(at for at in range(2_000) if odd.arm[at] == "mail")
    found = worth(
        campaign(),
        "arm:mail",
        replace(odd, propensities=[*odd.propensities[:where], [1.0, 0.0, 0.0], *odd.propensities[where + 1 :]]),
    )
    assert isinstance(found, NotEstimated)
    assert (found.reason, str(where) in found.sentence) == ("bad_propensity", True)
