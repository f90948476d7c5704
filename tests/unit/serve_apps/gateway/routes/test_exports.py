"""Exports over HTTP: begun, watched, fetched by a link, ended; bounded; other tenants' are not there."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from actors.calls.plain import plain
from actors.calls.shards import CallStatus
from actors.exports.record import Progress as Told
from actors.exports.record import encode_progress
from actors.exports.store import MOST_KEPT, SILENT_S
from actors.jobs import Export, Task
from actors.jobs import export_runs as runs
from cluster.control_plane.audit.acting import ActorKind
from serve_apps.gateway.http.principal import Principal
from tests.support.gateway_world import Caller, World
from tests.support.jobs_here import carried_out
from tests.unit.serve_apps.gateway.routes.test_simulations import stored
from whisperer.access.download_links import DownloadLinks
from whisperer.access.permissions import EVERYTHING, Permission
from whisperer.ids import TenantId, UserKey
from whisperer.shard.views.listing import ListedUser, ListedUsers

EVENTS = {"of": "events", "format": "ndjson"}


@pytest.fixture(params=["tenant", "operator"])
def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    return acme if request.param == "tenant" else world.operator(acme)


def stranger(world: World) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://whisperer.example.com")


async def done(world: World, caller: Caller, body: dict[str, Any]) -> dict[str, Any]:
    begun = await caller.ok("POST", "/exports", body)
    await world.exports.settled()
    found: dict[str, Any] = await caller.ok("GET", f"/exports/{begun['id']}")
    return found


async def fetched(world: World, export: dict[str, Any], **headers: str) -> httpx.Response:
    link = urlsplit(export["download_url"])
    async with stranger(world) as client:
        return await client.get(f"{link.path}?{link.query}", headers=headers)


class Held:
    """Does exports when it is let, and otherwise as ever."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        monkeypatch.setattr(world, "_do", self.do)
        self.ends_early = False

    async def do(self, task: Task) -> list[bytes]:
        if isinstance(task, Export):
            self.begun.set()
            await self.go.wait()
            if self.ends_early:
                return [encode_progress(Told(3, 0.5))]
        return await carried_out(task)


@pytest.fixture
def held(world: World, monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held(world, monkeypatch)
    monkeypatch.setattr(world.jobs._rooms[Export], "_begin", _beginning(made))
    return made


def _beginning(held: Held) -> Any:
    from tests.support.jobs_here import Here

    async def begin(_: Any) -> Here:
        return Here(held.do)

    return begin


async def test_an_export_is_begun_watched_and_fetched(caller: Caller, world: World, tmp_path: Path) -> None:
    stored(tmp_path, caller.id)
    answer = await caller("POST", "/exports", EVENTS | {"filter": {"event": "Paid"}})
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"].endswith(f"/exports/{begun['id']}")
    assert (begun["state"], begun["download_url"], begun["rows"]) == ("queued", None, None)
    await world.exports.settled()
    found = await caller.ok("GET", f"/exports/{begun['id']}")
    assert (found["state"], found["rows"], found["progress"]) == ("done", 2, {"rows": 2, "share": 1.0})
    assert found["filter"] == {"event": "Paid"}
    assert [call[1] for call in world.shards.calls].count("flush") == 2

    answer = await fetched(world, found)
    assert answer.status_code == 200
    assert [json.loads(line)["user_id"] for line in answer.text.splitlines()] == ["u1", "u3"]
    assert hashlib.sha256(answer.content).hexdigest() == found["sha256"]
    assert answer.headers["content-length"] == str(found["size_bytes"])
    assert answer.headers["content-disposition"].startswith('attachment; filename="events-')
    assert answer.headers["cache-control"] == "no-store, private"
    part = await fetched(world, found, range="bytes=5-9")
    assert (part.status_code, part.content) == (206, answer.content[5:10])

    listed = (await caller.ok("GET", "/exports"))["data"]
    assert listed == [found | {"download_url": None}]
    assert (await caller.ok("GET", "/exports", params={"filter[state]": "failed"}))["data"] == []


async def test_users_are_gathered_from_the_shards_page_by_page(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [UserKey(f"u:u{n:02}") for n in range(25)]
    asked = []

    def list_users(shard: int, _: int, call: dict[str, Any]) -> Any:
        query = call["query"]
        asked.append(query)
        after = query["after"]
        rest = [key for key in keys[shard::2] if after is None or key > after[1]]
        users = [
            ListedUser(key=key, number=0, first_seen=1_700_000_000_000, last_seen=None, events=3, score=0.5, engagement=None,
                       time_zone=None, locale="de", segments=["pros"], traits={"n": b"1.0"})
            for key in rest[:4]
        ]  # fmt: skip
        end = (0, users[-1].key) if len(rest) > 4 else None
        return CallStatus.OK, plain(ListedUsers(users=users, end=end))

    monkeypatch.setattr(world.shards, "_list_users", list_users)
    found = await done(world, acme, {"of": "users", "filter": {"traits.plan": "pro", "score": {"gte": 0.5}}})
    assert found["rows"] == 25
    assert len(asked) > 4
    answer = await fetched(world, found)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["user_id"] for row in rows] == [f"u{n:02}" for n in range(25)]
    assert b'"traits":{"n":1.0}' in answer.content
    assert rows[0]["first_seen"] == "2023-11-14T22:13:20.000Z"


async def test_the_audit_log_is_exported_as_it_was_when_it_began(world: World, acme: Caller) -> None:
    for share in (0.1, 0.2, 0.3):
        await acme.ok("PUT", "/experiment", {"holdout": share})
    found = await done(world, acme, {"of": "audit"})
    rows = [json.loads(line) for line in (await fetched(world, found)).text.splitlines()]
    log = (await acme.ok("GET", "/audit"))["data"]
    assert rows == log[::-1]
    assert (rows[-1]["verb"], rows[-1]["resource"], rows[-1]["resource_id"]) == ("created", "exports", found["id"])
    some = await done(world, acme, {"of": "audit", "format": "csv", "filter": {"resource": "experiments"}})
    assert some["rows"] == len([row for row in rows if row["resource"] == "experiments"])


async def test_another_tenant_neither_sees_nor_fetches_nor_ends_one(world: World, acme: Caller, tmp_path: Path) -> None:
    stored(tmp_path, acme.id)
    globex = world.tenant("globex")
    found = await done(world, acme, EVENTS)
    other = await done(world, globex, EVENTS)
    assert other["rows"] == 0
    for method in ("GET", "DELETE"):
        assert await globex.problem(method, f"/exports/{found['id']}") == (404, "export_not_found")
    assert [one["id"] for one in (await globex.ok("GET", "/exports"))["data"]] == [other["id"]]
    crossed = other["download_url"].replace(other["id"], found["id"])
    answer = await fetched(world, {"download_url": crossed})
    assert (answer.status_code, answer.json()["code"]) == (404, "export_not_found")


async def test_a_link_that_is_forged_expired_or_of_a_deleted_export_gives_nothing(
    world: World, acme: Caller, tmp_path: Path
) -> None:
    stored(tmp_path, acme.id)
    found = await done(world, acme, EVENTS)
    links = DownloadLinks(bytes.fromhex("00" * 32))
    base = found["download_url"].partition("?")[0]
    for token, status, code in (
        ("", 404, "export_not_found"),
        ("?token=", 404, "export_not_found"),
        (f"?token={links.signed(TenantId(acme.id), found['id'], 1)}", 403, "link_expired"),
        (f"?token={DownloadLinks(b'x' * 32).signed(TenantId(acme.id), found['id'], 2**34)}", 404, "export_not_found"),
    ):
        answer = await fetched(world, {"download_url": base + token})
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    deleted = await acme.ok("DELETE", f"/exports/{found['id']}")
    assert deleted["state"] == "done"
    assert (await fetched(world, found)).status_code == 404
    assert await acme.problem("GET", f"/exports/{found['id']}") == (404, "export_not_found")
    assert not [path for path in (tmp_path / "warehouse" / "exports").rglob("*") if path.is_file()]


async def test_one_that_runs_is_cancelled_and_leaves_nothing(
    world: World, acme: Caller, held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOOK_S", 0.01)
    begun = await acme.ok("POST", "/exports", EVENTS)
    await held.begun.wait()
    ended = await acme.ok("DELETE", f"/exports/{begun['id']}")
    assert ended["state"] == "cancelled"
    await world.exports.settled()
    assert (await acme.ok("GET", f"/exports/{begun['id']}"))["state"] == "cancelled"
    assert [path.suffix for path in (tmp_path / "warehouse" / "exports").rglob("*") if path.is_file()] == [".json"]
    assert not list((tmp_path / "spool").rglob("exp_*"))
    again = await done(world, acme, EVENTS) if held.go.set() is None else {}
    assert again["state"] == "done"
    await acme.ok("DELETE", f"/exports/{begun['id']}")  # now its record
    assert await acme.problem("GET", f"/exports/{begun['id']}") == (404, "export_not_found")


async def test_one_that_is_done_while_it_is_cancelled_is_gone(
    world: World, acme: Caller, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOOK_S", 100.0)  # nobody looks until the work is over
    begun = await acme.ok("POST", "/exports", EVENTS)
    await held.begun.wait()
    await acme.ok("DELETE", f"/exports/{begun['id']}")
    held.go.set()
    await world.exports.settled()
    assert (await acme.ok("GET", f"/exports/{begun['id']}"))["state"] == "cancelled"


async def test_a_process_that_ends_early_makes_it_fail(world: World, acme: Caller, held: Held) -> None:
    held.ends_early = True
    held.go.set()
    found = await done(world, acme, EVENTS)
    assert (found["state"], found["error"], found["rows"]) == ("failed", "its process ended early", None)


async def test_one_whose_gateway_is_gone_has_failed(world: World, acme: Caller, held: Held) -> None:
    begun = await acme.ok("POST", "/exports", EVENTS)
    await held.begun.wait()
    store, tenant = world.exports.store, TenantId(acme.id)
    record = store.show(tenant, begun["id"], 0)
    record.updated_at -= round(1000 * SILENT_S) + 1
    store.put(record)
    assert (await acme.ok("GET", f"/exports/{begun['id']}"))["state"] == "failed"
    held.go.set()
    await world.exports.settled()


async def test_one_tenant_waits_in_its_own_line(world: World, acme: Caller, held: Held) -> None:
    globex = world.tenant("globex")
    for _ in range(11):
        await acme.ok("POST", "/exports", EVENTS)
    answer = await acme("POST", "/exports", EVENTS)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_jobs")
    assert int(answer.headers["retry-after"]) > 0
    await held.begun.wait()
    states = [one["state"] for one in (await acme.ok("GET", "/exports"))["data"]]
    assert len(states) == 11
    held.go.set()
    assert (await done(world, globex, EVENTS))["state"] == "done"
    assert {one["state"] for one in (await acme.ok("GET", "/exports"))["data"]} == {"done"}


async def test_too_many_kept_ones_are_refused_and_failed_ones_make_room(world: World, acme: Caller) -> None:
    found = await done(world, acme, EVENTS)
    store, tenant = world.exports.store, TenantId(acme.id)
    record = store.show(tenant, found["id"], 0)
    ids = [f"exp_{n:022}" for n in range(MOST_KEPT - 1)]
    for id in ids:
        store.put(msgspec.structs.replace(record, id=id))
    assert await acme.problem("POST", "/exports", EVENTS) == (409, "too_many_exports")
    store.put(msgspec.structs.replace(record, id=ids[7], state="failed"))
    again = await done(world, acme, EVENTS)
    assert again["state"] == "done"
    assert await acme.problem("GET", f"/exports/{ids[7]}") == (404, "export_not_found")
    store.put(msgspec.structs.replace(record, id=ids[3], state="failed"))
    store.put(msgspec.structs.replace(record, id=ids[5], size_bytes=8 << 30))
    assert await acme.problem("POST", "/exports", EVENTS) == (409, "too_many_exports")


async def test_a_list_is_paged_newest_first(world: World, acme: Caller) -> None:
    ids = [(await done(world, acme, EVENTS))["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = await acme.ok("GET", "/exports", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [one["id"] for one in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"of": "messages"}, "/of"),
        ({"of": "events", "format": "xml"}, "/format"),
        ({"of": "events", "filter": {"campaign": "x"}}, "/filter/campaign"),
        ({"of": "events", "filter": {"since": "yesterday"}}, "/filter/since"),
        ({"of": "events", "filter": {"event": 7}}, "/filter/event"),
        ({"of": "users", "filter": {"since": "2026-01-01T00:00:00Z"}}, "/filter"),
        ({"of": "users", "filter": {"score": {"gte": []}}}, "/filter/score"),
        ({"of": "events", "filter": {f"f{n}": "x" for n in range(11)}}, "/filter"),
        ({}, ""),
    ],
)
async def test_what_cannot_be_exported_is_refused_at_its_place(
    acme: Caller, body: dict[str, Any], pointer: str
) -> None:
    answer = await acme("POST", "/exports", body)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await acme.ok("GET", "/exports"))["data"] == []


async def test_what_an_export_contains_needs_its_own_permission(world: World, acme: Caller) -> None:
    def with_(*scopes: str) -> Caller:
        return Caller(world, acme.id, "/v1", world.plane.create_key(acme.id, "secret", scopes=list(scopes)).key)

    few = with_("exports:read", "exports:write")
    assert await few.problem("POST", "/exports", EVENTS) == (403, "forbidden")
    assert await few.problem("POST", "/exports", {"of": "audit"}) == (403, "forbidden")
    found = await done(world, acme, EVENTS)
    audited = await done(world, with_("exports:read", "exports:write", "audit:read"), {"of": "audit"})
    assert (await few.ok("GET", "/exports"))["data"] == []
    for method in ("GET", "DELETE"):
        assert await few.problem(method, f"/exports/{found['id']}") == (403, "forbidden")
        assert await few.problem(method, f"/exports/{audited['id']}") == (403, "forbidden")
    users = with_("exports:read", "users:export")
    assert [one["of"] for one in (await users.ok("GET", "/exports"))["data"]] == ["events"]
    assert await users.problem("POST", "/exports", EVENTS) == (403, "forbidden")


async def test_exports_are_entered_in_the_audit_log_without_what_was_looked_for(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Principal(ActorKind.PERSON, "pe_1", "ada@example.com", TenantId(acme.id), EVERYTHING)

    async def who(_: Any) -> Principal:
        return ada

    monkeypatch.setattr(world.parts.access, "principal", who)
    found = await done(world, acme, {"of": "users", "filter": {"traits.email": "bob@example.com"}})
    assert found["created_by"] == "ada@example.com"
    await acme.ok("DELETE", f"/exports/{found['id']}")
    log = (await acme.ok("GET", "/audit", params={"filter[resource]": "exports"}))["data"]
    assert [(one["verb"], one["resource_id"], one["actor"]["name"]) for one in log] == [
        (verb, found["id"], "ada@example.com") for verb in ("deleted", "read", "created")
    ]
    assert log[-1]["after"] == {"of": "users", "format": "ndjson", "filters": ["traits.email"]}
    assert "bob@" not in json.dumps(log)


async def test_at_most_so_many_files_are_given_at_once(world: World, acme: Caller) -> None:
    found = await done(world, acme, EVENTS)
    token = found["download_url"].rpartition("=")[2]
    files = [await world.parts.exports.file(found["id"], token) for _ in range(4)]
    answer = await fetched(world, found)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_downloads")
    files[0].leave()
    assert (await fetched(world, found)).status_code == 200
    assert (await fetched(world, found)).status_code == 200  # the one before left


def test_every_kind_needs_a_permission_to_see_people_or_the_log() -> None:
    from serve_apps.gateway.services.exports import permission_for
    from whisperer.vocabulary.exports import ExportKind

    needed = {kind: permission_for(kind) for kind in ExportKind}
    assert needed.pop(ExportKind.AUDIT) is Permission.AUDIT_READ
    assert set(needed.values()) == {Permission.USERS_EXPORT}
