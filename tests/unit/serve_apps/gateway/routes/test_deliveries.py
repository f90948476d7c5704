"""Dead letters over HTTP: one, or all that a filter names; what cannot be sent again says why."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from actors.warehouse import Warehouse
from serve_apps.gateway.routes import deliveries
from tests.support.gateway_world import Caller, World
from tests.unit.actors.warehouse.conftest import delivery, logged

N = 5


async def fill(world: World, tenant: Caller, **more: Any) -> None:
    """As many dead letters, the newest first, by turns mail and SMS; the shard sends all of them again."""
    now = time.time_ns() // 1_000_000
    rows = [
        delivery(
            f"u:u{n}", f"dec_{n}", now - 60_000 * n, tenant=tenant.id, channel=("email", "sms")[n % 2], status="retry",
            reason="delivery_expired", **more,
        )
        for n in range(N)
    ]  # fmt: skip
    shard = 10 + len(world.plane.list_tenants())
    await asyncio.to_thread(Warehouse(world.warehouse).export, shard, 0, 100, [logged(1, *rows)])
    world.shards.replays = {f"dec_{n}": "replayed" for n in range(N)}


def replayed(world: World) -> list[str]:
    """The decisions that shards were asked to bring back."""
    return [decision for call in world.shards.called("replay") for _, decision in call[-1]]


async def test_one_is_sent_again(world: World) -> None:
    acme = world.tenant("acme")
    await fill(world, acme)
    answer = await acme("POST", "/deliveries/snd_2/replay")
    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["status"], answer.json()["user_id"]) == ("snd_2", "dead", "u2")
    assert replayed(world) == ["dec_2"]


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("not_dead", 409, "not_dead"),
        ("settled", 409, "settled"),
        ("busy", 409, "busy"),
        ("not_found", 404, "delivery_not_found"),
    ],
)
async def test_what_is_not_sent_again_says_why(world: World, said: str, status: int, code: str) -> None:
    acme = world.tenant("acme")
    await fill(world, acme)
    world.shards.replays["dec_2"] = said
    assert await acme.problem("POST", "/deliveries/snd_2/replay") == (status, code)


async def test_another_tenants_dead_letter_is_not_found(world: World) -> None:
    acme, globex = world.tenant("acme"), world.tenant("globex")
    await fill(world, acme)
    assert await globex.problem("POST", "/deliveries/snd_2/replay") == (404, "delivery_not_found")
    assert (await globex.ok("POST", "/deliveries/replay", {}))["n_replayed"] == 0
    assert (await globex.ok("GET", "/deliveries"))["data"] == []
    assert replayed(world) == []


async def test_all_that_a_filter_names_are_sent_again_the_oldest_first_in_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_REPLAYED", 2)
    acme = world.tenant("acme")
    await fill(world, acme)
    world.shards.replays["dec_4"] = "settled"
    body: dict[str, Any] = {"channel": "email"}
    first = await acme.ok("POST", "/deliveries/replay", body)
    assert (first["n_replayed"], first["refused"]) == (1, {"settled": 1})
    second = await acme.ok("POST", "/deliveries/replay", body | {"cursor": first["next_cursor"]})
    assert (second["n_replayed"], second["refused"], second["next_cursor"]) == (1, {}, None)
    assert sorted(replayed(world)) == ["dec_0", "dec_2", "dec_4"]


async def test_what_is_not_dead_is_not_even_asked_for(world: World) -> None:
    acme = world.tenant("acme")
    await fill(world, acme)
    now = time.time_ns() // 1_000_000
    row = delivery("u:u1", "dec_1", now, tenant=acme.id, channel="sms", attempt=1)  # accepted meanwhile
    await asyncio.to_thread(Warehouse(world.warehouse).export, 4, 0, 100, [logged(1, row)])
    assert (await acme.ok("POST", "/deliveries/replay", {"channel": "sms"}))["n_replayed"] == 1
    assert replayed(world) == ["dec_3"]


@pytest.mark.parametrize(
    "body", [{"cursor": "00ff"}, {"since": "yesterday"}, {"colour": "red"}, {"channel": 3}, [], "all"]
)
async def test_a_body_that_cannot_be_meant_changes_nothing(world: World, body: Any) -> None:
    acme = world.tenant("acme")
    await fill(world, acme)
    status, _ = await acme.problem("POST", "/deliveries/replay", body)
    assert status in (400, 422)
    assert replayed(world) == []


async def test_whoever_may_only_read_sends_nothing_again(world: World) -> None:
    acme = world.tenant("acme")
    await fill(world, acme)
    key = world.plane.create_key(acme.id, "secret", scopes=["messages:read"]).key
    reader = Caller(world, acme.id, "/v1", key)
    assert (await reader.problem("POST", "/deliveries/replay", {}))[0] == 403
    assert (await reader.ok("GET", "/deliveries?status=dead"))["data"]
