"""Questions about events on a running installation: at once, after an export too, for merged and erased users."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.stand import Stand, Tenant, until

pytestmark = pytest.mark.cluster

SOON_S = 2.0


def track(tenant: Tenant, event: str, **more: Any) -> None:
    assert tenant.post("track", {"event": event} | more).status_code == 200


def total(tenant: Tenant, measure: str = "count", event: str | None = "A") -> Any:
    asked = {"series": [{"measure": measure} | ({} if event is None else {"event": event})], "last_days": 2}
    answer = tenant.api.post("/v1/analytics/trends", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["series"][0]["lines"][0]["total"]


def exported(stand: Stand) -> int:
    return sum(shard["exported"] or 0 for shard in stand.status()["shards"])


def test_what_was_acknowledged_is_in_the_answer_and_counts_once(stand: Stand) -> None:
    tenant, other = stand.tenant("asking"), stand.tenant("beside")
    total(tenant)  # the process is there from now on
    for n in range(20):
        track(tenant, "A", userId=f"u{n % 5}", messageId=f"m{n % 15}")
    began = time.monotonic()
    assert total(tenant) == 15
    assert time.monotonic() - began < SOON_S
    assert total(tenant, "users") == 5
    assert total(other) == 0
    before = exported(stand)
    tenant.api.get("/v1/users/u1/export").raise_for_status()  # flushes
    until(lambda: exported(stand) > before, "an export")
    track(tenant, "A", userId="u9")
    assert (total(tenant), total(tenant, "users")) == (16, 6)


def test_a_merged_user_is_one_and_an_erased_one_is_gone(stand: Stand) -> None:
    tenant = stand.tenant("people")
    track(tenant, "A", anonymousId="web")
    track(tenant, "B", userId="ann")
    assert total(tenant, "users", None) == 2
    assert tenant.post("identify", {"userId": "ann", "anonymousId": "web"}).status_code == 200
    assert total(tenant, "users", None) == 1
    asked = {"steps": [{"event": "A"}, {"event": "B"}], "last_days": 2}
    funnel = tenant.api.post("/v1/analytics/funnels", json=asked).raise_for_status().json()
    assert [step["users"] for step in funnel["steps"]] == [1, 1]
    track(tenant, "A", userId="bob")
    tenant.api.delete("/v1/users/ann").raise_for_status()
    assert total(tenant, "users", None) == 1
    stand.settled()
    assert total(tenant, "users", None) == 1


def test_the_command_says_the_same(stand: Stand, tmp_path: Path) -> None:
    tenant = stand.tenant("typing")
    for user in ("ann", "bob"):
        track(tenant, "A", userId=user, properties={"plan": "pro"})
    track(tenant, "B", userId="ann")
    found = stand.json("analytics", "trends", "A", "--tenant", "typing", "--by", "plan")
    assert found["series"][0]["lines"][0] | {"values": []} == {
        "value": "pro", "is_other": False, "total": 2, "values": []
    }  # fmt: skip
    assert "50.0%" in stand.run("analytics", "funnel", "A", "B", "--tenant", "typing")
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"interval": "day", "periods": 2, "last_days": 3}))
    assert "100.0%" in stand.run("analytics", "retention", "--tenant", "typing", "--file", str(question))
