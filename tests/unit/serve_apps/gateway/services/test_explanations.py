"""Why an arm was chosen: the model of the version that decided, on the features that were logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.gateway_world import Caller, World, view
from tests.unit.whisperer.decisions.making import ARMS, learned
from tests.unit.whisperer.decisions.valuing import DEVIATION_OF_REWARD, FEATURES, logged, write_model
from whisperer.decisions.context import COLUMNS, NAMES, bounded_scores, transform
from whisperer.decisions.posterior import encode, posterior
from whisperer.models.value import ARM_ITSELF, open_model
from whisperer.shard.decision.features import FEATURE_HASH

CAMPAIGN = "welcome"
X = np.array([[1.5, 6.0]])
LOGGED = dict(zip(NAMES, [None if np.isnan(v) else v for v in logged(X)[0].tolist()], strict=True))
POLICY = posterior(learned({"no_send": 0.1, "mail": 0.4, "sms": 0.2}), 9)


@pytest.fixture
async def caller(world: World, acme: Caller, tmp_path: Path) -> Caller:
    for version in (1, 2):
        folder = tmp_path / f"made-{version}"
        world.models.put(acme.id, folder, write_model(folder, version, name=CAMPAIGN))
        await acme.ok("POST", "/policies", {"name": CAMPAIGN, "version": version})
    world.learner.policies = encode([((acme.id, CAMPAIGN), POLICY)])
    return acme


def decided(world: World, caller: Caller, version: str | None, **more: Any) -> None:
    told = {"arm": "mail", "arms": ARMS, "features": LOGGED, "policy_version": version}
    world.shards.decisions[f"{caller.id}/dec_1"] = view("dec_1", "u:ann", CAMPAIGN, **(told | more))


async def test_both_parts_add_up_and_are_of_the_version_that_decided(world: World, caller: Caller) -> None:
    decided(world, caller, f"{CAMPAIGN}@8+{CAMPAIGN}@1")
    told = await caller.ok("GET", "/decisions/dec_1/explanation")
    model = open_model(world.models.fetch(caller.id, CAMPAIGN, 1), FEATURE_HASH)
    score = model.scores(logged(X), ["mail"])
    assert told["model"]["version"] == f"{CAMPAIGN}@1"
    assert told["model"]["effect"] == pytest.approx(score.item() * DEVIATION_OF_REWARD, abs=2e-5)
    assert set(told["model"]["contributions"]) == {*FEATURES, ARM_ITSELF}
    means, _ = POLICY.score(
        transform(logged(X)), POLICY.rows(["mail", "no_send"]), bounded_scores(np.array([score[0], [0.0]]))
    )
    assert told["linear"]["version"] == f"{CAMPAIGN}@9"
    assert told["linear"]["effect"] == pytest.approx(means[0, 0] - means[1, 0], abs=1e-5)
    assert set(told["linear"]["contributions"]) == set(COLUMNS)
    decided(world, caller, f"{CAMPAIGN}@8+{CAMPAIGN}@2")
    other = await caller.ok("GET", "/decisions/dec_1/explanation")
    assert other["model"]["contributions"] != told["model"]["contributions"]


@pytest.mark.parametrize("version", [f"{CAMPAIGN}@8", f"{CAMPAIGN}@8!{CAMPAIGN}@1"])
async def test_a_model_that_had_no_say_has_no_part(world: World, caller: Caller, version: str) -> None:
    decided(world, caller, version)
    told = await caller.ok("GET", "/decisions/dec_1/explanation")
    assert told["model"] is None
    assert told["linear"]["contributions"]["model_score"] == 0


@pytest.mark.parametrize(
    ("version", "more"), [("uniform", {}), (None, {"arm": None}), (f"{CAMPAIGN}@8", {"features": {}})]
)
async def test_what_was_not_weighed_is_not_explained(
    world: World, caller: Caller, version: str | None, more: dict[str, Any]
) -> None:
    decided(world, caller, version, **more)
    answer = await caller("GET", "/decisions/dec_1/explanation")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_explain")


async def test_an_unknown_decision_is_not_found(caller: Caller) -> None:
    assert (await caller("GET", "/decisions/dec_2/explanation")).status_code == 404
