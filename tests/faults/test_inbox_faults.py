"""kill -9 around the sending of in-app messages: whatever dies, a decision that was sent has one entry, and no other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.faults.triggers import Triggers
from tests.support.campaigning import counts, launch, people
from tests.support.stand import Tenant, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CARRIERS = ("ray::ServeReplica:delivery", "ray::ServeReplica:content")
MOST_EVENTS = 8_000
"""Of 200 users, so that nobody has more messages than an inbox holds."""


def inbox(tenant: Tenant, user: str) -> list[dict[str, Any]]:
    answer = tenant.api.get(f"/v1/users/{user}/inbox", params={"limit": 500})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_whatever_is_killed_each_message_that_was_sent_is_there_once(tenant: Tenant) -> None:
    launch(tenant, "tips", {"event": "Joined"}, channel="inapp")
    users = people(tenant, 200)
    with Triggers(tenant, "Joined", users) as triggers:
        for title in CARRIERS:
            tenant.stand.kill(title)
        for shard in (0, 1):
            tenant.stand.kill_shard(shard)
        killed = [process for title in (*CARRIERS, "ray::ShardActor") for process in tenant.stand.processes(title)]
        for process in killed:
            process.kill()
        until(lambda: not any(process.is_running() for process in killed), "their end")
        tenant.stand.settled()
        n = triggers.n_acknowledged
        until(lambda: triggers.n_acknowledged > n + 200, "a stream")
    assert triggers.n_acknowledged < MOST_EVENTS
    tenant.stand.settled()
    counted = until(lambda: None if (found := counts(tenant, "tips"))["pending"] else found, "no pending", 180)
    assert counted["candidates"] == triggers.n_acknowledged
    assert set(counted["refused"]) <= {"decision_open"}, counted
    entries = Counter(one["id"] for user in users for one in inbox(tenant, user))
    assert counted["sent"] > 100
    assert (len(entries), entries.total()) == (counted["sent"], counted["sent"])


def test_a_mark_that_was_answered_survives_its_shard(tenant: Tenant) -> None:
    launch(tenant, "tips", {"event": "Joined"}, channel="inapp")
    users = people(tenant, 30)
    with Triggers(tenant, "Joined", users) as triggers:
        until(lambda: triggers.n_acknowledged >= 30, "a stream")
    until(lambda: None if counts(tenant, "tips")["pending"] else True, "no pending", 60)
    marked = [(user, one["id"]) for user in users for one in inbox(tenant, user)[:1]]
    assert marked
    for user, id in marked:
        tenant.api.post(f"/v1/users/{user}/inbox/{id}/archive").raise_for_status()
    for shard in (0, 1):
        tenant.stand.kill_shard(shard)
    tenant.stand.settled()
    archived = {(user, one["id"]) for user in users for one in inbox(tenant, user) if one["archived"]}
    assert archived == set(marked)
