"""Questions about events over HTTP: answered from the warehouse, refused with places, kept while nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from actors.jobs import Analysis, Task
from actors.warehouse import Warehouse
from tests.support.gateway_world import Caller, World
from tests.support.jobs_here import carried_out
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, Event, record

PERIOD = {"since": "2026-01-01", "until": "2026-01-03"}
TRENDS = {**PERIOD, "series": [{"event": "A"}]}


@pytest.fixture
def done(world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tenant's past: two users did A, one of them then B; and what is done for callers from here on."""
    warehouse = Warehouse(world.warehouse)
    events = [Event("u:ann", "A"), Event("u:bob", "A"), Event("u:ann", "B", NEW_YEAR_2026 + 5)]
    other = record(2, "tn_other", Event("u:zoe", "A"))
    warehouse.export(0, 0, 10, [record(1, acme.id, *events), other])
    seen: list[Task] = []

    async def do(task: Task) -> list[bytes]:
        seen.append(task)
        return await carried_out(task)

    monkeypatch.setattr("tests.support.gateway_world.carried_out", do)
    return seen


async def test_each_kind_is_answered(acme: Caller, done: list[Task]) -> None:
    trends = await acme.ok("POST", "/analytics/trends", TRENDS)
    assert trends["series"][0]["lines"] == [{"value": None, "is_other": False, "total": 2, "values": [2, 0]}]
    funnel = await acme.ok("POST", "/analytics/funnels", {**PERIOD, "steps": [{"event": "A"}, {"event": "B"}]})
    assert [step["users"] for step in funnel["steps"]] == [2, 1]
    asked = {**PERIOD, "start": {"event": "A"}, "return": {"event": "B"}, "interval": "day", "periods": 1}
    retention = await acme.ok("POST", "/analytics/retention", asked)
    assert retention["cohorts"][0] == {"start": "2026-01-01", "users": 2, "returned": [1, 0]}


async def test_an_answer_is_kept_until_something_is_counted(world: World, acme: Caller, done: list[Task]) -> None:
    first = await acme.ok("POST", "/analytics/trends", TRENDS)
    again = await acme.ok("POST", "/analytics/trends", {**TRENDS, "kind": "trends"})
    assert again == first
    assert len(done) == 1
    world.shards.counted += 1
    await acme.ok("POST", "/analytics/trends", TRENDS)
    assert [type(task) for task in done] == [Analysis, Analysis]


@pytest.mark.parametrize(
    ("kind", "asked", "pointer"),
    [
        ("trends", {"series": []}, "/series"),
        ("trends", {"series": [{"measure": "sum"}]}, "/series/0/property"),
        ("trends", {"series": [{}], "where": {"property": "a", "op": "eqs", "value": 1}}, "/where/op"),
        ("trends", {"series": [{}], "interval": "hour", "last_days": 1_000}, "/interval"),
        ("trends", {"series": [{}], "time_zone": "Nowhere"}, "/time_zone"),
        ("trends", {"series": [{}], "since": "soon"}, "/since"),
        ("funnels", {"steps": [{"event": "A"}]}, "/steps"),
        ("funnels", {"steps": [{"event": "A"}, {}]}, "/steps/1"),
        ("funnels", {"steps": [{"event": "A"}, {"event": "B"}], "exclude": [{"after": 2}]}, "/exclude/0/after"),
        ("retention", {"periods": 0}, "/periods"),
        ("retention", {"nonsense": 1}, ""),
    ],
)
async def test_what_cannot_be_answered_is_refused_at_its_place(
    acme: Caller, done: list[Task], kind: str, asked: dict[str, Any], pointer: str
) -> None:
    answer = await acme("POST", f"/analytics/{kind}", asked)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert done == []


async def test_a_shard_that_is_away_is_said(world: World, acme: Caller, done: list[Task]) -> None:
    world.shards.away = {0}
    assert (await acme("POST", "/analytics/trends", TRENDS)).status_code == 503
    world.shards.away = set()
    await acme.ok("POST", "/analytics/trends", TRENDS)  # whoever was refused left its turn
