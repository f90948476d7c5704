"""Policies over HTTP: a version from the store of models to users, with a record, for a tenant and for the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.control_plane import policies, policy_record
from cluster.times import iso
from tests.support.gateway_world import Caller, World
from tests.unit.whisperer.models.artifacts import artifact
from whisperer.models.loading import load

DAY = 86_400_000


class Clock:
    now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(policies, "now_ms", made)
    monkeypatch.setattr(policy_record, "now_ms", made)
    return made


@pytest.fixture
def caller(acme: Caller) -> Caller:
    return acme


@pytest.fixture(params=["tenant", "operator"])
def either(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    return acme if request.param == "tenant" else world.operator(acme)


def stored(world: World, caller: Caller, tmp_path: Path, version: int = 1, name: str = "offers") -> None:
    folder = artifact(tmp_path / f"{name}-{version}", name, version)
    world.models.put(caller.id, folder, load(folder).manifest)


async def registered(world: World, caller: Caller, tmp_path: Path, version: int = 1) -> Any:
    stored(world, caller, tmp_path, version)
    return await caller.ok("POST", "/policies", {"name": "offers", "version": version})


def evidence(clock: Clock, **more: Any) -> dict[str, Any]:
    told = {"promote": True, "against": 0, "judged_at": iso(clock.now), "figures": {"low": 0.01, "n_effective": 4_210}}
    return told | more


async def step(caller: Caller, clock: Clock, version: int = 1, against: int = 0) -> Any:
    """One promotion, with all that it needs."""
    policy = await caller.ok("GET", "/policies/offers")
    clock.now += DAY
    body: dict[str, Any] = {"version": version, "reason": "on we go"}
    if policy["candidate"] is not None:
        tally = {"since": policy["since"], "versions": {str(version): {"decisions": 9_000}}}
        assert (await caller.ok("PUT", "/policies/offers/tallies", tally))["breaches"] == []
        body["evidence"] = evidence(clock, against=against)
    return await caller.ok("POST", "/policies/offers/promote", body)


async def test_a_version_comes_to_users_step_by_step_and_goes_back(
    world: World, either: Caller, clock: Clock, tmp_path: Path
) -> None:
    caller = either
    made = await registered(world, caller, tmp_path)
    assert (made["live"], made["candidate"], made["versions"][0]["status"]) == (0, None, "registered")
    seen = [await step(caller, clock) for _ in range(4)]
    assert [(p["live"], p["candidate"], p["stage"], p["share"]) for p in seen] == [
        (0, 1, "shadow", 0.0),
        (0, 1, "5", 0.05),
        (0, 1, "25", 0.25),
        (1, None, None, 0.0),
    ]
    back = await caller.ok("POST", "/policies/offers/rollback", {"reason": "complaints"})
    assert (back["live"], back["versions"][0]["status"]) == (0, "rolled_back")
    history = (await caller.ok("GET", "/policies/offers/history"))["data"]
    assert [e["action"] for e in history] == ["rolled_back", *["promoted"] * 4, "registered"]
    assert history[1]["evidence"]["figures"] == {"low": 0.01, "n_effective": 4_210}
    assert history[0]["reason"] == "complaints"


async def test_the_record_says_who(world: World, acme: Caller, tmp_path: Path) -> None:
    await registered(world, acme, tmp_path)
    await world.operator(acme).ok("POST", "/policies/offers/promote", {"version": 1})
    newest, first = (await acme.ok("GET", "/policies/offers/history"))["data"]
    [key] = world.plane.list_keys(acme.id)
    assert (newest["by"], first["by"]) == ("operator", f"key {key.id}")


async def test_a_breach_is_answered_and_has_rolled_back(
    world: World, caller: Caller, clock: Clock, tmp_path: Path
) -> None:
    await registered(world, caller, tmp_path)
    await step(caller, clock)
    at_5 = await step(caller, clock)
    tally = {"since": at_5["since"], "versions": {"0": {"decisions": 50_000}, "1": {"decisions": 3_000, "failed": 300}}}
    found = await caller.ok("PUT", "/policies/offers/tallies", tally)
    assert [breach["guardrail"] for breach in found["breaches"]] == ["failed"]
    assert (found["policy"]["candidate"], found["policy"]["versions"][0]["status"]) == (None, "rolled_back")
    assert await caller.problem("PUT", "/policies/offers/tallies", tally) == (409, "tallies_of_another_stage")


async def test_a_step_that_lacks_something_says_what(
    world: World, caller: Caller, clock: Clock, tmp_path: Path
) -> None:
    await registered(world, caller, tmp_path)
    await step(caller, clock)
    promote = ("POST", "/policies/offers/promote")
    assert await caller.problem(*promote, {"version": 1}) == (409, "stage_too_short")
    clock.now += DAY
    assert await caller.problem(*promote, {"version": 1}) == (409, "too_few_decisions")
    policy = await caller.ok("GET", "/policies/offers")
    tally = {"since": policy["since"], "versions": {"1": {"decisions": 1_000}}}
    await caller.ok("PUT", "/policies/offers/tallies", tally)
    assert await caller.problem(*promote, {"version": 1}) == (409, "verdict_missing")
    refusal = evidence(clock, promote=False, reasons=[{"reason": "overlap", "sentence": "effective sample size 2"}])
    answer = await caller(*promote, {"version": 1, "evidence": refusal})
    assert (answer.status_code, answer.json()["code"]) == (409, "gate_refused")
    assert "effective sample size 2" in answer.json()["detail"]
    assert await caller.problem(*promote, {"version": 9}) == (404, "policy_version_not_found")


async def test_a_model_changed_in_the_store_goes_no_further(world: World, caller: Caller, tmp_path: Path) -> None:
    await registered(world, caller, tmp_path)
    for path in (tmp_path / "models" / caller.id / "manifests").rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(b"0.1.0+abc", b"0.1.0+xyz"))
    for path in (tmp_path / "cache").iterdir():
        path.rename(tmp_path / path.name)  # as on a replica that has not fetched it yet
    assert await caller.problem("POST", "/policies/offers/promote", {"version": 1}) == (422, "wrong_hash")
    assert (await caller.ok("GET", "/policies/offers"))["candidate"] is None


async def test_a_hostile_model_is_not_registered(world: World, caller: Caller, tmp_path: Path) -> None:
    stored(world, caller, tmp_path)
    for path in (tmp_path / "models" / caller.id / "files").iterdir():
        path.write_bytes(b"\x80\x04\x95" + b"x" * 100)
    status, _ = await caller.problem("POST", "/policies", {"name": "offers", "version": 1})
    assert status == 422
    assert (await caller.ok("GET", "/policies"))["data"] == []


async def test_only_the_newest_state_may_be_built_on(world: World, caller: Caller, tmp_path: Path) -> None:
    await registered(world, caller, tmp_path)
    read = (await caller("GET", "/policies/offers")).headers["etag"]
    promoted = await caller("POST", "/policies/offers/promote", {"version": 1}, headers={"If-Match": read})
    assert promoted.headers["etag"] != read
    for path in ("promote", "rollback"):
        body = {"version": 1}
        found = await caller.problem("POST", f"/policies/offers/{path}", body, headers={"If-Match": read})
        assert found == (412, "precondition_failed")


async def test_a_call_repeated_under_its_key_is_one_step(
    world: World, caller: Caller, clock: Clock, tmp_path: Path
) -> None:
    await registered(world, caller, tmp_path)
    answers = [
        await caller("POST", "/policies/offers/promote", {"version": 1}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert [a.status_code for a in answers] == [200, 200]
    assert answers[1].headers["idempotent-replay"] == "true"
    assert len((await caller.ok("GET", "/policies/offers/history"))["data"]) == 2


async def test_lists_come_in_pages(world: World, caller: Caller, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        stored(world, caller, tmp_path, name=name)
        await caller.ok("POST", "/policies", {"name": name, "version": 1})
        await caller.ok("POST", f"/policies/{name}/promote", {"version": 1})
    first = await caller.ok("GET", "/policies?limit=2")
    assert [p["name"] for p in first["data"]] == ["a", "b"]
    assert first["data"][0]["versions"] == 1
    rest = await caller.ok("GET", f"/policies?limit=2&cursor={first['next_cursor']}")
    assert ([p["name"] for p in rest["data"]], rest["next_cursor"]) == (["c"], None)
    newest = await caller.ok("GET", "/policies/a/history?limit=1")
    oldest = await caller.ok("GET", f"/policies/a/history?limit=1&cursor={newest['next_cursor']}")
    assert [newest["data"][0]["serial"], oldest["data"][0]["serial"], oldest["next_cursor"]] == [2, 1, None]


async def test_a_version_is_shown_with_its_lineage(world: World, caller: Caller, tmp_path: Path) -> None:
    await registered(world, caller, tmp_path)
    found = await caller.ok("GET", "/policies/offers/versions/1")
    assert (found["data"]["rows"], found["code_version"], found["metrics"]) == (120_000, "0.1.0+abc", {"value": 13.9})
    assert len(found["files"]) == 5
    assert await caller.problem("GET", "/policies/offers/versions/2") == (404, "policy_version_not_found")


async def test_another_tenants_policy_is_not_found(world: World, acme: Caller, tmp_path: Path) -> None:
    await registered(world, acme, tmp_path)
    globex = world.tenant("globex")
    assert await globex.problem("POST", "/policies", {"name": "offers", "version": 1}) == (404, "artifact_not_found")
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/history", None),
        ("GET", "/versions/1", None),
        ("POST", "/promote", {"version": 1}),
        ("POST", "/rollback", {}),
        ("PUT", "/tallies", {"since": "2026-01-01T00:00:00Z", "versions": {}}),
    ):
        assert await globex.problem(method, "/policies/offers" + path, body) == (404, "policy_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/policies", {"name": "../x", "version": 1}, (422, "invalid_request")),
        ("POST", "/policies", {"name": "offers", "version": 0}, (422, "invalid_request")),
        ("POST", "/policies", {"name": "offers", "version": 2**31}, (422, "invalid_request")),
        ("POST", "/policies", {"name": "offers", "version": 1, "url": "file:///etc"}, (422, "invalid_request")),
        ("POST", "/policies", b"{", (400, "malformed_json")),
        ("POST", "/policies/offers/promote", {"version": 1, "evidence": {"promote": True}}, (422, "invalid_request")),
        ("POST", "/policies/offers/promote", {"version": 1, "evidence": {"promote": 1, "against": 0, "judged_at": "2026-01-01T00:00:00Z"}}, (422, "invalid_request")),
        ("POST", "/policies/offers/promote", {"version": 1, "evidence": {"promote": True, "against": 0, "judged_at": "2026-01-01T00:00:00"}}, (422, "invalid_request")),
        ("PUT", "/policies/offers/tallies", {"since": "2026-01-01T00:00:00Z", "versions": {"x": {}}}, (422, "invalid_request")),
        ("PUT", "/policies/offers/tallies", {"since": "2026-01-01T00:00:00Z", "versions": {"1": {"failed": 1}}}, (422, "invalid_request")),
        ("PUT", "/policies/offers/tallies", {"since": "2026-01-01T00:00:00Z", "versions": {"1": {}, "2": {}, "3": {}}}, (422, "invalid_request")),
        ("GET", "/policies/" + "x" * 1_000, None, (404, "policy_not_found")),
        ("GET", "/policies/offers/versions/0", None, (422, "invalid_request")),
        ("GET", "/policies/offers/history?cursor=%C3%A9", None, (422, "invalid_request")),
    ],
)  # fmt: skip
async def test_a_refusal_has_its_status_and_code(
    acme: Caller, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    assert await acme.problem(method, path, body) == expected


async def test_the_page_shows_the_evidence(world: World, acme: Caller, clock: Clock, tmp_path: Path) -> None:
    await registered(world, acme, tmp_path)
    await step(acme, clock)
    await step(acme, clock)
    page = await acme.http.get("/policies?tenant=acme")
    assert page.status_code == 200
    for said in ("offers", "n_effective", "built in", "version 1", "key "):
        assert said in page.text
