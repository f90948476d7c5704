"""What decisions earn comes back to those who decide, and to those who ask what it was worth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.campaigning import closed, decision, definition, experiment, launch, messages, people, track
from tests.support.stand import Tenant, until

pytestmark = pytest.mark.cluster

WINDOW_S = 2.0


def asked_now(tenant: Tenant, user: str) -> dict[str, Any]:
    """The audit of a decision taken at this moment."""
    body = {"campaign": "on-demand", "user_id": user}
    made = tenant.api.post("/v1/decisions", json=body).json()
    return decision(tenant, made["decision_id"])


def test_rewards_reach_the_next_decisions_and_the_arm_that_earns_is_preferred(tenant: Tenant) -> None:
    """Whoever is written to pays, nobody else does: what a new policy guesses is 1 in 2, what it learns is not."""
    launch(tenant, "on-demand", {"request": True}, n_arms=1, window_s=WINDOW_S)
    users, probed = people(tenant, 60), people(tenant, 1, "bob")[0]
    before = asked_now(tenant, probed)
    assert (before["policy_version"], before["means"]) == ("on-demand@0", [0.0, 0.0])
    asked = {"campaign": "on-demand", "user_ids": users}
    made = tenant.api.post("/v1/decisions", json=asked).json()["data"]
    track(tenant, "Paid", *(d["user_id"] for d in made if d["arm"] == "email-0"))

    def final() -> list[dict[str, Any]] | None:
        found = [decision(tenant, d["decision_id"]) for d in made]
        return found if all(audit["matured"] for audit in found) else None

    for audit in until(final, "every reward to be final", 60):
        assert audit["reward"] == float(audit["arm"] == "email-0")

    def learned() -> dict[str, Any] | None:
        found = asked_now(tenant, probed)
        return found if found["means"] and found["means"][1] > found["means"][0] + 0.5 else None

    after = until(learned, "a policy that tells the arms apart")
    assert int(after["policy_version"].removeprefix("on-demand@")) > 0
    assert after["propensities"][1] > 0.9


def test_a_decision_that_cost_and_earned_nothing_is_counted_once_in_the_report(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"}, window_s=WINDOW_S)
    experiment(tenant, holdout=0.4, uniform=0.4)
    users = people(tenant, 200)
    track(tenant, "Joined", *users)
    counted = closed(tenant, "welcome", len(users))
    written_to = [m["user_id"] for m in messages(tenant)]
    track(tenant, "Paid", *written_to)

    def mature() -> dict[str, Any] | None:
        found = tenant.api.get("/v1/campaigns/welcome/report").json()
        return found if sum(arm["decisions"] for arm in found["arms"]) == len(users) else None

    report = until(mature, "every decision's reward to be final", 60)
    same = ("candidates", "sent", "no_send", "refused", "pending")
    assert {name: report[name] for name in same} == {name: counted[name] for name in same}
    assert report["conversions"] == len(written_to)
    groups = {group["group"]: group for group in report["groups"]}
    assert sum(group["users"] for group in groups.values()) == len(users)
    assert groups["holdout"]["mean"] == 0
    assert {arm["arm"] for arm in report["arms"] if arm["group"] == "holdout"} == {"no_send"}
    assert sum(arm["sent"] for arm in report["arms"]) == counted["sent"]
    assert sum(arm["converted"] for arm in report["arms"]) == len(written_to)
    assert sum(arm["reward"] for arm in report["arms"]) == pytest.approx(len(written_to))
    assert report["uniform_lift"]["low"] > 0.5
    assert report["lift"]["low"] <= report["lift"]["difference"] <= report["lift"]["high"]
    assert report["sample_ratio"]["suspicious"] is False


def test_the_command_line_tells_the_same_as_http(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = tmp_path_factory.mktemp("cli")
    (files / "mail.json").write_text(
        json.dumps({"channel": "email", "locales": {"en": {"subject": "Hi {{ user.name }}", "text": "Tips"}}})
    )
    (files / "welcome.json").write_text(json.dumps(definition({"event": "Joined"}) | {"name": "welcome"}))
    stand, of_tenant = tenant.stand, ("--tenant", tenant.name)
    put = stand.json("template", "put", str(files / "mail.json"), "--name", "email", *of_tenant)
    assert (put["name"], put["version"], put["channel"]) == ("email", 1, "email")
    created = stand.json("campaign", "create", str(files / "welcome.json"), "--publish", *of_tenant)
    assert (created["status"], created["version"]) == ("live", 1)
    users = people(tenant, 20)
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", len(users))
    made = (tenant.user(users[0]) or {})["candidacies"][0]

    shown = {
        "campaigns": stand.json("campaign", "list", *of_tenant),
        "campaigns/welcome": stand.json("campaign", "show", "welcome", *of_tenant),
        "campaigns/welcome/report": stand.json("report", "welcome", *of_tenant),
        "templates/email": stand.json("template", "show", "email", *of_tenant),
        f"decisions/{made['id']}": stand.json("decision", "show", made["id"], *of_tenant),
    }
    for path, printed in shown.items():
        told = tenant.api.get(f"/v1/{path}").json()
        assert printed == told.get("data", told) if path == "campaigns" else printed == told, path
    preview = stand.json("template", "preview", "email", "--user", users[0], *of_tenant)
    assert (preview["rendered"], preview["parts"]["subject"]) == (True, f"Hi {users[0].title()}")
    for sent in messages(tenant)[:3]:
        body = {"user_id": sent["user_id"], "campaign": "welcome", "arm": "email-0"}
        again = tenant.api.post("/v1/templates/email/preview", json=body).json()
        assert again["content_hash"] == sent["content_hash"], "the same bytes, but for signed links"
        assert (again["locale"], again["parts"]["subject"]) == (sent["locale"], sent["parts"]["subject"])
    assert "postal_address_missing" in stand.run("template", "lint", "email", *of_tenant)
    assert stand.json("campaign", "pause", "welcome", *of_tenant)["status"] == "paused"
    assert "candidates" in stand.run("report", "welcome", *of_tenant)
    status = stand.json("status")["tenants"][tenant.name]
    assert status["candidates"] == status["sent"] + status["no_send"] + status["pending"] == len(users)
