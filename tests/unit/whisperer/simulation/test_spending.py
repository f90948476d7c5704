"""A simulation of a campaign with a budget, and of a registered model: decided and paid as live."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.whisperer.decisions.making import ARMS
from tests.unit.whisperer.decisions.valuing import FEATURES, Shelf, logged
from tests.unit.whisperer.shard.campaigns import MAIL, campaign
from tests.unit.whisperer.simulation.past import DAY, HOUR, T0, TEMPLATES, TENANT, batch, event, identify, plan
from whisperer.decisions.budget import Budget
from whisperer.decisions.decision import Candidate
from whisperer.errors import RequestError
from whisperer.journeys.campaign import Arm
from whisperer.models.value import ValueModel, open_model
from whisperer.shard.decision.features import FEATURE_HASH
from whisperer.simulation.plan import check_policy, model_of
from whisperer.simulation.policy import named
from whisperer.simulation.run import Trained, simulate
from whisperer.simulation.value import NOT_ENOUGH, DecisionLog, NotEstimated, Value, estimate
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import MICROS

COSTLY = campaign(arms=(Arm("mail", "email", "hello", 1, cost=0.05), Arm("sms", "sms", "hello-sms", 1, cost=0.2)))
PEOPLE = [f"u{i}" for i in range(60)]


def past(days: int = 3) -> Any:
    stated = [identify(user, T0 - DAY) for user in PEOPLE]
    looked = [
        event(user, "Looked", T0 + d * DAY + at * HOUR // 3) for d in range(days) for at, user in enumerate(PEOPLE)
    ]
    return batch(*stated, *looked)


def with_budget(amount: float) -> Any:
    return campaign(arms=COSTLY.arms, budget=Budget(round(amount * MICROS)))


@cache
def shelf_model(folder: Path) -> ValueModel:
    shelf = Shelf(folder)
    shelf.put(1)
    return open_model(shelf.store.fetch("tenant", "campaign", 1), FEATURE_HASH)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ValueModel:
    return shelf_model(tmp_path_factory.mktemp("shelf"))


@pytest.mark.parametrize("policy", ["learned", "uniform", "arm:sms"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_budget_is_kept_in_every_window_and_reported(policy: str, share: float) -> None:
    found = simulate(plan(with_budget(1.0), policy=policy), [past()], share=share)
    windows = found.budget.windows
    assert len(windows) >= 3
    for window in windows:
        assert window.amount == 1.0
        assert window.spent <= 1.0
    assert sum(window.spent for window in windows) == pytest.approx(found.budget.spent)
    assert sum(window.withheld for window in windows) > 0
    free = simulate(plan(COSTLY, policy=policy), [past()], share=share)
    assert free.budget.windows == []
    assert free.budget.spent > found.budget.spent


def test_what_the_plan_withholds_at_night_is_there_later() -> None:
    hours = tuple(float(hour == 12) for hour in range(24))
    budget = Budget(2 * MICROS, 1, hours)
    found = simulate(plan(campaign(arms=COSTLY.arms, budget=budget), policy="arm:sms"), [past()])
    assert sum(window.spent for window in found.budget.windows) > 0
    assert all(window.spent <= 2.0 for window in found.budget.windows)


def test_a_model_decides_by_its_scores(model: ValueModel) -> None:
    """Mail does good to users who were here lately: the model knows, the learner does not."""
    raw = logged(np.array([[1.0, 5.0], [20.0, 5.0]] * 40)).tolist()
    asked = [Candidate(f"d{at}", TENANT, "nudge", 1, Group.POLICY, ARMS, row, 0) for at, row in enumerate(raw)]
    made = named("campaign@1", {}, model)(asked)
    mail = np.array([choice.propensities[1] for choice in made])
    assert mail[::2].mean() > mail[1::2].mean() + 0.2
    assert FEATURES[0] == "recency_days"


def test_a_registered_model_is_simulated_beside_a_budget(model: ValueModel) -> None:
    found = simulate(plan(with_budget(1.0), policy="campaign@1"), [past()], model=Trained(model, T0))
    assert found.policy == "campaign@1"
    assert found.candidates == 180
    assert all(window.spent <= window.amount for window in found.budget.windows)
    assert found.value.reason == "no_log"


def log(n: int, *, everything: bool) -> DecisionLog:
    rng = np.random.default_rng(2)
    p = [1 / 3] * 3 if everything else [0.999, 0.0005, 0.0005]
    x = np.abs(rng.normal(size=(n, 2))) * 8
    chosen = [ARMS[at] for at in rng.choice(3, n, p=p)]
    good = [arm == "mail" and row[0] < 4 for arm, row in zip(chosen, x, strict=True)]
    reward = [MICROS * int(rng.random() < (0.7 if one else 0.1)) for one in good]
    users = [f"u:{at}" for at in range(n)]
    return DecisionLog(COSTLY, users, chosen, [ARMS] * n, [p] * n, logged(x).tolist(), [T0] * n, reward)


def test_a_model_s_value_is_estimated_where_the_log_supports_it_and_says_what_it_was_trained_on(
    model: ValueModel,
) -> None:
    decide = named("campaign@1", {}, model)
    found = estimate(COSTLY, TENANT, decide, "campaign@1", [log(3_000, everything=True)], trained_until=T0 + 1)
    assert isinstance(found, Value)
    assert found.over_no_send is not None
    assert found.over_no_send.low > 0
    assert any("3,000 of the 3,000" in told for told in found.caveats)
    alone = estimate(COSTLY, TENANT, decide, "campaign@1", [log(3_000, everything=False)])
    assert isinstance(alone, NotEstimated)
    assert alone.reason == NOT_ENOUGH


def test_the_name_of_a_version_is_read_and_nothing_else_is() -> None:
    assert model_of("welcome@3") == ("welcome", 3)
    for wrong in ("welcome", "welcome@", "welcome@0", "@3", "a b@3", "arm:x@3", "welcome@3@4"):
        assert model_of(wrong) is None
        with pytest.raises(RequestError):
            check_policy(wrong, COSTLY)
    assert set(TEMPLATES) == {f"{MAIL.template}@1", "hello-sms@1"}
