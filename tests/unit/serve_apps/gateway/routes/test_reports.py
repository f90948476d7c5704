"""Saved reports over HTTP: saved, run and refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from tests.unit.serve_apps.gateway.services.test_lift_days import running

__all__ = ["running"]

BY_DAY = {"campaigns": ["welcome"], "metric": "lift_by_day", "period": {"from": "2026-01-02", "to": "2026-01-04"}}


@pytest.fixture
async def published(acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    for name in ("welcome", "back"):
        await acme.ok("POST", "/campaigns", {"name": name, "publish": True, **CAMPAIGN})
    return acme


async def test_a_report_is_saved_shown_changed_and_deleted(published: Caller) -> None:
    definition = {"campaigns": ["welcome"], "metric": "lift"}
    made = await published("POST", "/reports", {"name": "weekly", "definition": definition})
    assert (made.status_code, made.json()["definition"]) == (201, definition)
    tag = made.headers["etag"]
    assert await published.problem("POST", "/reports", {"name": "weekly", "definition": definition}) == (
        409,
        "report_exists",
    )
    body = {"definition": BY_DAY}
    changed = await published("PUT", "/reports/weekly", body, headers={"If-Match": tag})
    assert changed.json()["definition"] == BY_DAY
    stale = await published.problem("PUT", "/reports/weekly", body, headers={"If-Match": tag})
    assert stale == (412, "precondition_failed")
    assert [one["name"] for one in (await published.ok("GET", "/reports"))["data"]] == ["weekly"]
    assert (await published.ok("GET", "/reports/weekly"))["definition"] == BY_DAY
    await published.ok("DELETE", "/reports/weekly")
    assert await published.problem("GET", "/reports/weekly/result") == (404, "report_not_found")


@pytest.mark.parametrize("metric", ["accounting", "lift"])
async def test_the_answer_is_what_each_campaigns_own_report_says(world: World, published: Caller, metric: str) -> None:
    counts = {"welcome": {"sent": 2}, "back": {"sent": 5}}
    world.shards.campaigns[published.id] = [counts, {}]  # type: ignore[list-item]
    definition = {"campaigns": ["welcome", "back"], "metric": metric}
    await published.ok("PUT", "/reports/both", {"definition": definition})
    answer = await published.ok("GET", "/reports/both/result")
    assert (answer["metric"], answer["period"], len(answer["data"])) == (metric, None, 2)
    for entry in answer["data"]:
        own = await published.ok("GET", f"/campaigns/{entry.pop('campaign')}/report")
        assert entry == {name: own[name] for name in entry}
        assert ("sent" in entry, "uniform_lift" in entry) == (metric == "accounting", metric == "lift")


async def test_lift_by_day_covers_the_days_that_are_meant(running: Caller) -> None:
    await running.ok("PUT", "/reports/days", {"definition": BY_DAY})
    answer = await running.ok("GET", "/reports/days/result")
    assert answer["period"] == {"from": "2026-01-02", "to": "2026-01-04"}
    (entry,) = answer["data"]
    assert [day["day"] for day in entry["days"]] == ["2026-01-02", "2026-01-03", "2026-01-04"]
    whole = (await running.ok("GET", "/campaigns/welcome/report/days"))["data"]
    assert entry["days"] == whole[1:4]
    await running.ok("PUT", "/reports/last", {"definition": BY_DAY | {"period": {"last_days": 2}}})
    last = await running.ok("GET", "/reports/last/result")
    assert last["period"]["from"] < last["period"]["to"]
    assert last["data"][0]["days"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"campaigns": ["nothing"]}, "/campaigns/0"),
        ({"campaigns": []}, "/definition/campaigns"),
        ({"campaigns": ["welcome", "welcome"]}, "/campaigns"),
        ({"campaigns": ["welcome"] * 11}, "/definition/campaigns"),
        ({"metric": "money"}, "/definition/metric"),
        ({"metric": "lift"}, "/period"),
        ({"period": {"last_days": 0}}, "/definition/period/last_days"),
        ({"period": {"last_days": 3, "from": "2026-01-01"}}, "/period"),
        ({"period": {"from": "2026-01-04", "to": "2026-01-02"}}, "/period"),
        ({"period": {"from": "2020-01-04", "to": "2026-01-02"}}, "/period"),
        ({"sql": "drop"}, "/definition"),
    ],
)
async def test_a_report_that_cannot_be_answered_is_refused_with_the_place(
    published: Caller, change: dict[str, Any], pointer: str
) -> None:
    answer = await published("PUT", "/reports/x", {"definition": BY_DAY | change})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


async def test_another_tenants_reports_are_not_there(world: World, published: Caller) -> None:
    await published.ok("PUT", "/reports/days", {"definition": BY_DAY})
    globex = world.tenant("globex")
    for method, path in (("GET", "/reports/days"), ("GET", "/reports/days/result"), ("DELETE", "/reports/days")):
        assert await globex.problem(method, path) == (404, "report_not_found")
    assert (await globex.ok("GET", "/reports"))["data"] == []
    answer = await globex("PUT", "/reports/mine", {"definition": BY_DAY})
    assert answer.json()["errors"][0]["code"] == "unknown_campaign"
