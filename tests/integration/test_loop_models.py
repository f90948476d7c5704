"""A trained model reaches the replicas that decide, and what it does comes back to whoever promotes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.campaigning import decision, launch, people
from tests.stand import Tenant, until
from tests.unit.decisions.valuing import write_model
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
