"""kill -9 of everything that carries the loop, under a stream of triggers: each trigger ends once, each message is one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.triggers import Triggers, account, reaches
from tests.support.campaigning import closed, counts, decision, launch, messages, people, track
from tests.support.stand import Tenant, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

TITLES = {
    "decisions": "ray::ServeReplica:decisions",
    "content": "ray::ServeReplica:content",
    "delivery": "ray::ServeReplica:delivery",
    "learner": "ray::Learner",
}


def nothing_is_wrong(found: dict[str, Any]) -> None:
    wrong = {name: found[name] for name in ("lost", "unexplained", "unsent", "doubled")}
    assert wrong == dict.fromkeys(wrong, 0), found
    assert set(found["refused"]) <= {"decision_open"}, found  # a user's own earlier one was still under way


def test_every_trigger_ends_once_and_no_message_is_doubled_whatever_is_killed(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users, probes = people(tenant, 200), people(tenant, 12, "probe")
    n_probed = 0
    with Triggers(tenant, "Joined", users) as triggers:
        for title in TITLES.values():
            tenant.stand.kill(title)
            n_probed += reaches(tenant, "welcome", "Joined", probes)[1]
        for shard in (0, 1):
            tenant.stand.kill_shard(shard)
            n_probed += reaches(tenant, "welcome", "Joined", probes)[1]
    nothing_is_wrong(account(tenant, "welcome", triggers.n_acknowledged + n_probed))


def test_all_of_it_killed_at_once_comes_back_to_what_it_was_doing(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, 200)
    with Triggers(tenant, "Joined", users, per_s=200) as triggers:
        until(lambda: triggers.n_acknowledged > 400, "a stream")
        killed = [
            process for title in (*TITLES.values(), "ray::ShardActor") for process in tenant.stand.processes(title)
        ]
        assert len(killed) >= len(TITLES) + tenant.stand.shards
        for process in killed:
            process.kill()
        until(lambda: not any(process.is_running() for process in killed), "their end")
        tenant.stand.settled()
    nothing_is_wrong(account(tenant, "welcome", triggers.n_acknowledged))


def test_messages_wait_for_a_delivery_that_is_away_and_go_out_when_it_is_back(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, 30)
    with tenant.stand.without("delivery"):
        track(tenant, "Joined", *users)
        decided = until(
            lambda: None if any(d["status"] == "deciding" for d in made(tenant, users)) else made(tenant, users),
            "everybody's choice",
        )
        waiting = [d for d in decided if d["arm"] != "no_send"]
        assert waiting
        assert {d["status"] for d in waiting} == {"sending"}
        assert (counts(tenant, "welcome")["pending"], messages(tenant)) == (len(waiting), [])
    counted = closed(tenant, "welcome", len(users), 180)
    assert (counted["sent"], counted["refused"]) == (len(waiting), {})
    assert {m["decision_id"] for m in messages(tenant)} == {d["id"] for d in waiting}


def test_candidates_wait_for_decisions_that_are_away(tenant: Tenant) -> None:
    """That they expire after 60 seconds is the shard's own test: nobody waits for that here."""
    launch(tenant, "on-demand", {"request": True})
    users = people(tenant, 30)
    with tenant.stand.without("decisions"):
        asked = tenant.api.post("/v1/decisions", json={"campaign": "on-demand", "user_ids": users}).json()["data"]
        assert {d["status"] for d in asked} == {"deciding"}
        assert counts(tenant, "on-demand")["pending"] == len(users)
    assert closed(tenant, "on-demand", len(users), 180)["refused"] == {}
    assert {decision(tenant, d["decision_id"])["status"] for d in asked} <= {"sent", "no_send"}


def made(tenant: Tenant, users: list[str]) -> list[dict[str, Any]]:
    return [(tenant.user(user) or {})["candidacies"][0] for user in users]
