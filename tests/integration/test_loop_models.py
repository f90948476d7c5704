"""A trained model reaches the replicas that decide, and what it does comes back to whoever promotes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.campaigning import decision, launch, people
from tests.support.stand import Tenant, until
from tests.unit.training.making_rows import score_table, written
from tests.unit.training.test_finish import Made
from tests.unit.whisperer.decisions.valuing import write_model
from training.dataset import read
from whisperer.models.value import DEVIATION

pytestmark = pytest.mark.cluster

NAME = "on-demand"


def test_a_model_in_shadow_scores_within_seconds_without_a_restart(tenant: Tenant, tmp_path: Path) -> None:
    launch(tenant, NAME, {"request": True}, n_arms=1)
    arms = ["no_send", "email-0", "never-there"]
    write_model(tmp_path / "model", name=NAME, parameters={"arms": arms, DEVIATION: 2.0})
    tenant.stand.run("policy", "register", str(tmp_path / "model"), "--tenant", tenant.name)
    users = people(tenant, 20)

    def asked() -> dict[str, Any]:
        return decision(
            tenant, tenant.api.post("/v1/decisions", json={"campaign": NAME, "user_id": users[0]}).json()["decision_id"]
        )

    assert asked()["shadow_version"] is None
    tenant.api.post(f"/v1/policies/{NAME}/promote", json={"version": 1}).raise_for_status()
    scored = until(lambda: (found := asked())["shadow_version"] and found, "a score by the version in shadow")
    assert (scored["shadow_version"], scored["scores"]) == (f"{NAME}@1", [])
    assert scored["shadow"][0] == 0
    assert scored["shadow"][1] != 0
    assert scored["policy_version"].partition("@")[0] == NAME
    assert "+" not in scored["policy_version"]
    tenant.api.post("/v1/decisions", json={"campaign": NAME, "user_ids": users}).raise_for_status()

    def tallied() -> Any:
        told = tenant.api.get(f"/v1/policies/{NAME}").json()
        return told if "1" in str(told.get("tallies")) else None

    assert until(tallied, "the tallies of the version in shadow")["stage"] == "shadow"
    told = tenant.api.get(f"/v1/decisions/{scored['id']}/explanation").json()
    assert told["model"] is None, "it had no say"


def test_a_churn_model_scores_users_of_every_shard_while_it_is_live(tenant: Tenant, tmp_path: Path) -> None:
    users = people(tenant, 12)
    leaving = {"predicate": {"feature": "score.churn", "op": "gte", "value": 0.0}}
    tenant.api.put("/v1/segments/scored", json=leaving).raise_for_status()
    made = Made("churn", read(written(score_table(), tmp_path), "churn"), tmp_path / "model", window_days=30)
    tenant.stand.run("policy", "register", str(made.folder), "--tenant", tenant.name)
    for _ in range(2):  # into shadow, and live: a choice is swept with at once
        tenant.stand.run("policy", "promote", "churn", "1", "--tenant", tenant.name)

    def seen(wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        found = [tenant.user(user) or {} for user in users]
        return found if all(map(wanted, found)) else []

    def scored_by(user: dict[str, Any], model: str) -> bool:
        return bool(user.get("scores")) and user["scores"]["model"] == model

    by_model = until(lambda: seen(lambda user: scored_by(user, "churn@1")), "scores by the model")
    assert all(user["features"]["score.churn"] == user["scores"]["churn"] for user in by_model)
    until(lambda: seen(lambda user: "scored" in user["segments"]), "the segment on the score")
    tenant.api.post("/v1/policies/churn/rollback", json={"reason": "as it was"}).raise_for_status()
    until(lambda: seen(lambda user: scored_by(user, "bgnbd@cdnow")), "scores by the formula")
