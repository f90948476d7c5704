"""Where strangers and bad days meet the gateway: bodies before keys, busy databases, shards that are away, proxies."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.control_plane import ControlPlane, database
from serve_apps.gateway.metrics import status as overview
from tests.support.gateway_world import OPERATOR, Caller, World
from tests.support.keyring import KEYRING
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from tests.unit.serve_apps.gateway.routes.test_decisions import send
from whisperer.errors import UnavailableError

SMTP = {"host": "mail.example.com", "username": "ada", "password": "hunter2", "sender": "ada@example.com"}


async def test_a_stranger_is_refused_before_a_body_is_taken_in(world: World, acme: Caller) -> None:
    taken = 0

    async def body() -> Any:
        nonlocal taken
        for _ in range(100):
            taken += 100_000
            yield b" " * 100_000

    for path in ("/internal/shards/move", "/v1/campaigns", f"/internal/tenants/{acme.id}/campaigns"):
        for headers in ({}, {"Idempotency-Key": "k"}):
            answer = await acme.http.post(path, content=body(), headers={"Authorization": "Bearer x", **headers})
            assert (answer.status_code, taken) == (401, 0), path


@pytest.mark.parametrize("version", [2**31, 2**63, 10**30])
async def test_a_version_beyond_all_bounds_is_no_error_of_ours(acme: Caller, version: int) -> None:
    await acme.ok("PUT", "/templates/hello", SMS)
    assert (await acme.problem("GET", f"/templates/hello?version={version}"))[0] == 422
    assert (await acme.problem("POST", "/templates/hello/preview", {"version": version}))[0] == 422
    assert (await acme.problem("GET", f"/campaigns/hello?version={version}"))[0] == 422


@pytest.mark.parametrize(
    "path",
    ["/templates/{}", "/campaigns/{}", "/segments/{}", "/users/{}", "/users/u1?as_of={}", "/decisions/{}"],
)
async def test_ten_thousand_characters_are_not_thrown_back(acme: Caller, world: World, path: str) -> None:
    world.user(acme, "u1")
    answer = await acme("GET", path.format("x" * 10_000))
    assert answer.status_code in (400, 404)
    body = answer.json()
    assert len(body["detail"]) < 300
    method_not_allowed = await acme("PATCH", "/campaigns")
    assert method_not_allowed.headers["allow"] == "POST" or "GET" in method_not_allowed.headers["allow"]


# A database on a bad day


@pytest.mark.parametrize("plane_url", ["sqlite"], indirect=True)
async def test_a_database_that_is_busy_is_a_503_to_try_again(
    acme: Caller, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.plane._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")  # the pool gives it to the next who asks
    blocker = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        answer = await acme("PUT", "/templates/hello", SMS)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert (await acme.ok("PUT", "/templates/hello", SMS))["version"] == 1


@pytest.mark.parametrize("plane_url", ["sqlite", "postgresql"], indirect=True)
async def test_texts_and_numbers_that_a_database_cannot_hold_are_the_callers_mistake(acme: Caller) -> None:
    for path in ("/templates/a%00b", "/campaigns/a%00b", "/policies/a%00b", "/channels/a%00b", "/segments/a%00b",
                 "/campaigns/welcome?version=99999999999999999999", "/templates/hello?version=9223372036854775808"):  # fmt: skip
        answer = await acme("GET", path)
        assert 400 <= answer.status_code < 500, (path, answer.text)
    answer = await acme("PUT", "/templates/hello", {**SMS, "locales": {"en": {"text": "a\x00b"}}})
    assert answer.status_code < 500, answer.text
    answer = await acme("POST", "/policies/welcome/promote", {"version": 1, "reason": "a\x00b"})
    assert answer.status_code < 500, answer.text


def test_an_error_of_the_database_does_not_tell_a_channels_secret(tmp_path: Path) -> None:
    with ControlPlane(f"sqlite:///{tmp_path / 'c.db'}", keyring=KEYRING) as plane:
        plane.create_tenant("acme")
        with database.writing(plane._engine) as connection:
            connection.exec_driver_sql("DROP TABLE channels")
        with pytest.raises(UnavailableError) as caught:
            plane.set_channel("acme", "email", "smtp", SMTP)
        with database.writing(plane._engine) as connection:
            connection.exec_driver_sql(
                "CREATE TABLE channels (tenant_id TEXT, channel TEXT, provider TEXT, config TEXT CHECK (0), changed_at INT, "
                "callback_serial INT, plan TEXT)"
            )
        with pytest.raises(Exception, match="CHECK constraint") as broken:
            plane.set_channel("acme", "email", "smtp", SMTP)
    for error in (caught.value, caught.value.__cause__, broken.value):
        assert "hunter2" not in str(error)
        assert "hunter2" not in repr(error)


# Shards on a bad day


async def test_a_change_that_is_stored_is_answered_even_while_a_shard_is_away(acme: Caller, world: World) -> None:
    await acme.ok("PUT", "/templates/hello", SMS)
    world.shards.away = {1}
    made = await acme("POST", "/segments", {"name": "buyers", "predicate": {"event": "Paid"}})
    assert made.status_code == 201
    answer = await acme("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    assert (answer.status_code, answer.json()["status"]) == (201, "live")
    with pytest.raises(UnavailableError):
        await world.parts.publishing.spread()  # which the watch over the control plane repeats until it is done
    world.shards.away = set()
    await world.parts.publishing.spread()
    assert [config.name for config in world.shards.called("publish")[-1][5]] == ["welcome"]


async def test_a_change_is_brought_to_the_shards_for_its_own_tenant(acme: Caller, world: World) -> None:
    world.tenant("globex")
    await acme.ok("PUT", "/experiment", {"holdout": 0.1})
    assert {call[2] for call in world.shards.called("publish")} == {acme.id}


async def test_many_who_ask_at_once_share_the_shards_answers(acme: Caller, world: World) -> None:
    await acme.ok("POST", "/campaigns", {"name": "welcome", **CAMPAIGN})
    world.shards.calls.clear()
    world.shards.takes_s = 0.2
    await asyncio.gather(*(acme.ok("GET", "/campaigns/welcome") for _ in range(30)))
    assert len(world.shards.called("status")) < 30


async def test_what_is_published_is_read_again_only_after_a_change(
    acme: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    published = world.plane.published

    def counted(tenant: str) -> Any:
        nonlocal reads
        reads += 1
        return published(tenant)

    monkeypatch.setattr(world.plane, "published", counted)
    for _ in range(5):
        await world.parts.overview.reload()
    assert reads == 1
    await acme.ok("POST", "/segments", {"name": "buyers", "predicate": {"event": "Paid"}})
    assert [segment.name for segment in (await world.parts.overview.reload())[acme.id].segments] == ["buyers"]


async def test_a_page_that_asks_every_second_makes_one_document_for_all(
    acme: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "FRESH_S", 1e9)
    for n in range(20):
        send(world, acme, n)
    send(world, world.tenant("globex"), 99)
    await world.parts.overview.reload()
    looks, latest_of = [], world.sink.latest
    monkeypatch.setattr(world.sink, "latest", lambda limit: looks.append(limit) or latest_of(limit))
    homes = [(await acme.http.get("/internal/live")).json() for _ in range(5)]
    assert (len(world.shards.called("status")), len(looks)) == (2, 1)
    latest = homes[0]["loop"]["latest_messages"]
    assert [message["subject"] for message in latest[:3]] == ["message 99", "message 19", "message 18"]
    assert (latest[0]["tenant"], latest[1]["tenant"], len(latest)) == ("globex", "acme", 12)


# The pages


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
@pytest.mark.parametrize("path", ["/sink", "/users/u1", "/metrics", "/internal/live"])
async def test_who_comes_through_a_proxy_is_not_on_this_machine(
    acme: Caller, world: World, header: str, path: str
) -> None:
    stranger = httpx.AsyncClient(transport=acme.http._transport, base_url="http://127.0.0.1:8000")
    assert (await stranger.get(path + "?tenant=acme")).status_code in (200, 404)
    assert (await stranger.get(path, headers={header: "203.0.113.7"})).status_code in (401, 403)
    operator = {header: "203.0.113.7", "Authorization": f"Bearer {OPERATOR}"}
    assert (await stranger.get(path + "?tenant=acme", headers=operator)).status_code in (200, 404)


async def test_the_reference_lists_every_call_and_runs_nothing_from_elsewhere(acme: Caller, world: World) -> None:
    answer = await acme.http.get("/docs")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not [target for target in re.findall(r'(?:src|href|action)="([^"]*)"', answer.text) if "//" in target]
    assert "@import" not in answer.text
    for path, operations in world.app.openapi()["paths"].items():
        for operation in operations.values():
            assert path in answer.text
            assert operation["summary"].replace("'", "&#39;") in answer.text
    assert (await acme.http.get("/redoc")).status_code == 404


async def test_templates_are_compiled_one_at_a_time(
    acme: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, at_once, most = world.plane.put_template, 0, 0

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return put(*args, **more)
        finally:
            at_once -= 1

    monkeypatch.setattr(world.plane, "put_template", counted)
    await asyncio.gather(*(acme.ok("PUT", f"/templates/t{n}", SMS) for n in range(12)))
    assert most == 1
