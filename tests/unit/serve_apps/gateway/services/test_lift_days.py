"""Lift by day over HTTP: out of the warehouse, once a minute, and on the campaign's page."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.calls.plain import plain
from actors.warehouse import Warehouse
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.services.kept import KEPT_S
from serve_apps.gateway.services.lift_days import LiftDays
from tests.support.gateway_world import Caller, World
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, Event, decision, logged, record
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS

HOUR = 3_600_000


def lived(tenant: str, shard: int, warehouse: str, users: range) -> None:
    """Half of the policy's users paid, none of the holdout's."""
    decisions = [
        decision(f"u:{u}", f"dec_{u}", NEW_YEAR_2026 + u * HOUR, tenant, group="holdout" if u % 4 == 0 else "policy")
        for u in users
    ]
    events = [Event(f"u:{u}", "Paid", NEW_YEAR_2026 + u * HOUR + 1) for u in users if u % 4 in (1, 2)]
    Warehouse(warehouse, pseudonym_key=b"k").export(shard, 0, 9, [record(1, tenant, *events), logged(2, *decisions)])


@pytest.fixture
async def running(world: World, acme: Caller, tmp_path: Path) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    await acme.ok("PUT", "/experiment", {"holdout": 0.25, "uniform": 0})
    for shard in (0, 1):  # the same users' rows lie wherever; sums add up over shards
        lived(acme.id, shard, str(tmp_path / "warehouse"), range(shard * 100, shard * 100 + 100))
    return acme


async def test_every_day_on_which_windows_closed_has_a_look(running: Caller, world: World) -> None:
    found = await running.ok("GET", "/campaigns/welcome/report/days")
    days = found["data"]
    assert (days[0]["day"], len(days), found["conflicted_users"]) == ("2026-01-01", 9, 0)
    assert days[0]["lift"]["reason"] == "too_few_users"
    last = days[-1]
    assert [(group["group"], group["users"]) for group in last["groups"]] == [("holdout", 50), ("policy", 150)]
    assert sum(group["joined"] for day in days for group in day["groups"]) == 200
    assert last["lift"]["difference"] == pytest.approx(2 / 3)
    assert last["lift"]["low"] < 2 / 3 < last["lift"]["high"]
    assert last["uniform_lift"]["reason"] == "too_few_users"
    assert last["sample_ratio"]["suspicious"] is False
    page = await Documents(world.parts).campaign("acme", "welcome")
    assert plain(page.days) == days
    assert page.simulation is None


async def test_the_warehouse_is_asked_once_a_minute(running: Caller, world: World, tmp_path: Path) -> None:
    now = NEW_YEAR_2026 + 1_000 * HOUR
    days = LiftDays(world.plane, world.jobs, str(tmp_path / "warehouse"), lambda: now)
    before = await days.show(running.id, "welcome")
    lived(running.id, 2, str(tmp_path / "warehouse"), range(200, 204))
    assert await days.show(running.id, "welcome") is before
    now += round(KEPT_S * 1000)
    assert sum(g.users for g in (await days.show(running.id, "welcome")).data[-1].groups) == 204


async def test_what_is_not_ones_own_is_not_there(running: Caller, world: World) -> None:
    assert await running.problem("GET", "/campaigns/nope/report/days") == (404, "campaign_not_found")
    other = world.tenant("other")
    assert await other.problem("GET", "/campaigns/welcome/report/days") == (404, "campaign_not_found")


async def test_a_warehouse_that_cannot_be_read_leaves_the_page_without_days(
    running: Caller, world: World, tmp_path: Path
) -> None:
    for path in (tmp_path / "warehouse").rglob("*.parquet"):
        path.unlink()
    assert await running.problem("GET", "/campaigns/welcome/report/days") == (503, "unavailable")
    assert (await Documents(world.parts).campaign("acme", "welcome")).days == []
