"""Simulations over HTTP: begun, watched and read by whichever gateway is asked; bounded; other tenants' are not there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.jobs import Task
from actors.jobs.lanes import SIMULATIONS
from actors.jobs.simulation_runs import KEPT, Simulations
from actors.warehouse import ExportRecord, Warehouse
from serve_apps.gateway.pages.answers import Documents
from tests.support.gateway_world import Caller, World
from tests.support.jobs_here import jobs_here
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from tests.unit.whisperer.decisions.valuing import NAME, write_model
from tests.unit.whisperer.simulation.past import T0, plan
from whisperer.errors import NotFoundError, TooManyError
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.types import EventType, Flag
from whisperer.ids import key_hash, known_key, message_hash, partition_of, tenant_seed

HOUR = 3_600_000
NAMED = {"name": "welcome", **CAMPAIGN}


def stored(folder: Path, tenant: str, users: int = 5) -> None:
    """Users who state a phone number, start a trial, and some of whom pay."""
    builder, seed = PartBuilder(), tenant_seed(tenant)

    def add(user: int, at: int, name: str, payload: str, kind: EventType = EventType.TRACK) -> None:
        key, id = known_key(f"u{user}"), f"{name}-{user}"
        flags = int(Flag.TRAITS) if kind is EventType.IDENTIFY else 0
        builder.add(
            key=key,
            hashed=key_hash(key, seed),
            partition=partition_of(key, seed),
            kind=kind,
            name=name,
            timestamp=at,
            received=at,
            message_id=id,
            message_hash=message_hash(id),
            payload=payload.encode(),
            flags=flags,
        )

    for user in range(users):
        traits = f'{{"traits":{{"phone":"+49151123456{user:02}","name":"Ada"}}}}'
        add(user, T0 - HOUR, "$identify", traits, EventType.IDENTIFY)
        add(user, T0 + user * HOUR, "Trial Started", "{}")
        if user % 2:
            add(user, T0 + user * HOUR + 60_000, "Paid", "{}")
    block = merge(tenant, [builder.build()])
    record = ExportRecord(0, block, np.ones(len(block), np.bool_))
    Warehouse(str(folder / "warehouse")).export(0, 0, 1, [record])


async def finished(world: World, caller: Caller, begun: dict[str, Any]) -> dict[str, Any]:
    await world.simulations.settled()
    found: dict[str, Any] = await caller.ok("GET", f"/campaigns/{begun['campaign']}/simulations/{begun['id']}")
    return found


@pytest.fixture(params=["tenant", "operator"])
async def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    return acme if request.param == "tenant" else world.operator(acme)


async def test_a_draft_is_simulated_and_its_result_read_later(caller: Caller, world: World, tmp_path: Path) -> None:
    stored(tmp_path, caller.id)
    await caller.ok("POST", "/campaigns", NAMED)
    answer = await caller("POST", "/campaigns/welcome/simulate", {"days": 7, "policy": "arm:hello", "budget": 0})
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"].endswith(f"/campaigns/welcome/simulations/{begun['id']}")
    assert (begun["status"], begun["result"]) == ("running", None)
    found = await finished(world, caller, begun)
    assert (found["status"], found["progress"]["events"]) == ("done", 12)
    result = found["result"]
    assert (result["candidates"], result["users"], result["share"]) == (5, 5, 1.0)
    assert result["sent"] + result["no_send"] == 5
    assert result["value"]["reason"] == "no_log"
    levels = {item["code"]: item["level"] for item in result["checklist"]}
    assert (levels["channels"], levels["templates"], levels["goal"]) == ("block", "ok", "ok")
    assert [day["day"] for day in result["days"]] == ["2026-09-21"]
    await finished(world, caller, await caller.ok("POST", "/campaigns/welcome/simulate", {"policy": "uniform"}))
    page = await Documents(world.parts).campaign("acme", "welcome")
    assert page.simulation is not None
    assert page.simulation.result is not None
    assert page.simulation.result.policy == "uniform"
    listed, _ = (await caller.ok("GET", "/campaigns/welcome/simulations"))["data"]
    assert (listed["id"], listed["result"]) == (begun["id"], None)
    assert {call[0] for call in world.shards.called("flush")} == {0, 1}


async def test_a_definition_needs_no_campaign_and_a_missing_template_is_told(acme: Caller, world: World) -> None:
    begun = await acme.ok("POST", "/campaigns/idea/simulate", {"definition": CAMPAIGN})
    found = await finished(world, acme, begun)
    assert found["status"] == "done"
    items = {item["code"]: item for item in found["result"]["checklist"]}
    assert (items["templates"]["level"], items["audience"]["level"]) == ("block", "block")
    assert "hello does not exist" in items["templates"]["sentence"]


async def test_what_cannot_be_simulated_is_refused_at_once(acme: Caller) -> None:
    assert await acme.problem("POST", "/campaigns/nope/simulate", {}) == (404, "campaign_not_found")
    assert await acme.problem("POST", "/campaigns/x/simulate", {"definition": {}}) == (422, "invalid_campaign")
    body = {"definition": CAMPAIGN, "policy": "arm:nope"}
    assert await acme.problem("POST", "/campaigns/x/simulate", body) == (422, "invalid_request")
    assert await acme.problem("POST", "/campaigns/x/simulate", {"days": 0}) == (422, "invalid_request")
    assert await acme.problem("POST", "/campaigns/x/simulate", {"day": 7}) == (422, "invalid_request")


async def test_a_simulation_of_another_tenant_or_beside_its_folder_is_not_there(acme: Caller, world: World) -> None:
    begun = await acme.ok("POST", "/campaigns/idea/simulate", {"definition": CAMPAIGN})
    await world.simulations.settled()
    other = world.tenant("other")
    path = f"/campaigns/idea/simulations/{begun['id']}"
    assert await other.problem("GET", path) == (404, "simulation_not_found")
    with pytest.raises(NotFoundError):
        await world.simulations.show(other.id, f"../{acme.id}/idea", begun["id"])
    assert await world.simulations.records(acme.id, "..") == []


async def test_only_a_few_wait_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def wait(task: Task) -> list[bytes]:
        await go.wait()
        return []

    runs = Simulations(str(tmp_path), jobs_here(tmp_path / "jobs", wait))
    for _ in range(SIMULATIONS.tenant_open):
        await runs.begin(plan())
    with pytest.raises(TooManyError):
        await runs.begin(plan())
    others = await runs.begin(msgspec.structs.replace(plan(), tenant="tn_other"))
    assert others.status == "running"
    go.set()
    await runs.settled()
    for _ in range(KEPT):
        await runs.begin(plan())
        await runs.settled()
    records = await runs.records(plan().tenant, plan().name)
    assert len(records) == KEPT
    assert {(record.status, record.error) for record in records} == {("failed", "its process ended early")}


async def test_a_record_that_nobody_writes_any_more_is_of_a_dead_process(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def hanging(task: Task) -> list[bytes]:
        await go.wait()
        return []

    now = 0
    runs = Simulations(str(tmp_path), jobs_here(tmp_path / "jobs", hanging), lambda: now)
    begun = await runs.begin(plan())
    assert (await runs.show(plan().tenant, plan().name, begun.id)).status == "running"
    now = round(SIMULATIONS.patience_s * 1000) + HOUR
    assert (await runs.show(plan().tenant, plan().name, begun.id)).error == "nothing was heard of it"
    go.set()
    await runs.settled()


async def test_a_registered_version_is_simulated_and_one_that_is_not_is_not_there(
    acme: Caller, world: World, tmp_path: Path
) -> None:
    stored(tmp_path, acme.id)
    path, body = "/campaigns/idea/simulate", {"definition": CAMPAIGN, "policy": f"{NAME}@1"}
    assert await acme.problem("POST", path, body) == (404, "policy_not_found")
    manifest = write_model(tmp_path / "made")
    world.models.put(acme.id, tmp_path / "made", manifest)
    world.plane.register_policy(acme.id, manifest, by="a test")
    assert await acme.problem("POST", path, {**body, "policy": f"{NAME}@2"}) == (404, "policy_version_not_found")
    found = await finished(world, acme, await acme.ok("POST", path, body))
    assert (found["status"], found["error"]) == ("done", None)
    assert found["result"]["policy"] == f"{NAME}@1"
    assert found["result"]["candidates"] == 5
