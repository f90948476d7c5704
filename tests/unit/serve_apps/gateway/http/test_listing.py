"""What every list has in common: pages, orders, filters, fields, and what it refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.warehouse import Warehouse
from cluster.control_plane.coupons import Ask
from tests.support.gateway_world import World
from tests.support.people import joined
from tests.unit.actors.warehouse.conftest import delivery, logged
from tests.unit.serve_apps.gateway.routes.prepared import (
    Prepared,
    candidate,
    message,
    policy,
    ready_campaign,
    registered,
    report,
    review,
    templates,
    user,
)
from tests.unit.whisperer.models.artifacts import artifact
from whisperer.delivery.dispatch import Dispatch
from whisperer.ids import known_key
from whisperer.journeys.schema import EXAMPLE as CAMPAIGN
from whisperer.models.loading import load

SMS = {"channel": "sms", "locales": {"en": {"text": "Hi"}}}
N = 5
Fill = Callable[[Prepared], Awaitable[None]]


async def campaigns(has: Prepared) -> None:
    await ready_campaign(has)
    for n in range(N):
        await has.caller.ok("POST", "/campaigns", {"name": f"c{n}", **CAMPAIGN})


async def more_templates(has: Prepared) -> None:
    await templates(has)
    for n in range(N):
        await has.caller.ok("PUT", f"/templates/t{n}", SMS)


async def segments(has: Prepared) -> None:
    for n in range(N):
        await has.caller.ok("PUT", f"/segments/s{n}", {"predicate": {"event": f"E{n}"}})


async def versions(has: Prepared) -> None:
    for n in range(N):
        await has.caller.ok("PUT", "/segments/s", {"predicate": {"event": f"E{n}"}})


async def policies(has: Prepared) -> None:
    await policy(has)
    await registered(has)
    await candidate(has)
    for name in ("b", "a"):
        folder = artifact(has.folder / name, name, 1)
        has.world.models.put(has.tenant_id, folder, load(folder).manifest)
        await has.caller.ok("POST", "/policies", {"name": name, "version": 1})


async def messages(has: Prepared) -> None:
    await message(has)
    for n in range(N):
        sent = Dispatch(
            f"snd_{has.tenant_id}_{n}", "dec_1", has.tenant_id, f"u:u{n % 2}", "c1", "sms", "+49", {"text": "Hi"}, {}, "en", "h", 0, 1
        )  # fmt: skip
        has.world.sink.accept([sent], now=1_769_850_000_000 + n)


async def deliveries(has: Prepared) -> None:
    now = time.time_ns() // 1_000_000
    warehouse = Warehouse(has.folder / "warehouse")
    rows = [
        delivery(f"u:u{n % 2}", f"dec_{n}", now - 1_000 * n, tenant=has.tenant_id, channel=("sms", "email")[n % 2])
        for n in range(N)
    ]
    await asyncio.to_thread(warehouse.export, 3, 0, 100, [logged(10, *rows)])


async def reports(has: Prepared) -> None:
    await ready_campaign(has)
    await report(has)
    definition = {"campaigns": ["trial-welcome"], "metric": "lift"}
    for n in range(N):
        await has.caller.ok("POST", "/reports", {"name": f"r{n}", "definition": definition})


async def reviews(has: Prepared) -> None:
    await templates(has)
    for n in range(N):
        await has.caller.ok("PUT", f"/templates/d{n}/draft", SMS)
        await has.caller.ok("POST", f"/templates/d{n}/submit", {})
    await review(has)


async def catalogues(has: Prepared) -> None:
    for n in range(N):
        await has.caller.ok("PUT", f"/catalogues/c{n}", {"fields": {"name": "string"}})


async def items(has: Prepared) -> None:
    await has.caller.ok("PUT", "/catalogues/c", {"fields": {"name": "string"}})
    for n in range(N):
        await has.caller.ok("PUT", f"/catalogues/c/items/i{n}", {"values": {"name": f"n{n % 2}"}})


async def pools(has: Prepared) -> None:
    for n in range(N):
        await has.caller.ok("PUT", f"/coupon-pools/p{n}", {"description": f"{n % 2}"})
        await has.caller.ok("POST", f"/coupon-pools/p{n}/codes", [f"C{k}" for k in range(n % 3 + 1)])


async def given_codes(has: Prepared) -> None:
    await has.caller.ok("PUT", "/coupon-pools/p", {})
    await has.caller.ok("POST", "/coupon-pools/p/codes", [f"C{4 - n}" for n in range(N)])
    for n in range(N):
        asks = [Ask("p", f"c{n % 2}", known_key(f"u{n // 2}"))]
        has.world.plane.give_codes(has.caller.id, asks, 1_769_850_000_000 + n % 3)  # type: ignore[arg-type]


async def keys(has: Prepared) -> None:
    for label in "bbacd":
        await has.caller.ok("POST", "/keys", {"kind": "secret", "scopes": ["users:read"], "label": label})


async def members(has: Prepared) -> None:
    for n in range(N):
        role = "viewer" if n % 2 else "analyst"
        joined(has.world.plane, has.caller.id, f"m{4 - n}x{has.tenant_id}@example.com", role)  # type: ignore[arg-type]


async def invitations(has: Prepared) -> None:
    for n in range(N):
        body = {"email": f"i{n}@example.com", "role": "viewer", "days": 1 + n % 3}
        await has.caller.ok("POST", "/invitations", body)


async def roles(has: Prepared) -> None:
    for name in "cab":
        await has.caller.ok("POST", "/roles", {"name": name, "permissions": []})


async def environments(has: Prepared) -> None:
    for name in ("test", "stage", "demo"):
        await has.caller.ok("POST", "/environments", {"name": name})


async def issuers(has: Prepared) -> None:
    for n in (2, 1, 3):
        body = {"issuer": f"https://login{n}.example.com", "client_id": f"{has.tenant_id}-{n}"}
        await has.caller.ok("POST", "/issuers", body)


async def simulations(has: Prepared) -> None:
    await ready_campaign(has)
    for _ in range(3):
        await has.caller.ok("POST", "/campaigns/trial-welcome/simulate", {})
    asking = Asking(has, "/campaigns/trial-welcome/simulations")
    async with asyncio.timeout(60):
        while any(one["status"] == "running" for one in await asking.all()):  # noqa: ASYNC110  a process tells nobody
            await asyncio.sleep(0.01)


async def exports(has: Prepared) -> None:
    for _ in range(3):
        await has.caller.ok("POST", "/exports", {"of": "events", "format": "csv"})
    asking = Asking(has, "/exports")
    async with asyncio.timeout(60):
        while any(one["state"] in ("queued", "running") for one in await asking.all()):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)


async def inbox(has: Prepared) -> None:
    await user(has)
    for n in range(N):
        kind = ("card", "banner")[n % 2]
        has.world.message(
            has.caller, "u-17", f"dec_{n}", kind=kind, image="/tips.png", expires_at=1_900_000_000_000 + n
        )
        mark = ("read", "seen", "archive")[n % 3]
        await has.caller.ok("POST", f"/users/u-17/inbox/dec_{n}/{mark}")


async def nothing(has: Prepared) -> None:
    """What is listed is there."""


async def sessions(has: Prepared) -> None:
    await has.person()
    body = {"grant_type": "password", "username": has.email, "password": "oak tide mint lamp"}
    for _ in range(2):
        await has.caller.ok("POST", "/auth/token", body, headers={"Authorization": ""})


LISTS: dict[str, tuple[str, Fill]] = {
    "/campaigns": ("/campaigns", campaigns),
    "/campaigns/{name}/simulations": ("/campaigns/trial-welcome/simulations", simulations),
    "/templates": ("/templates", more_templates),
    "/segments": ("/segments", segments),
    "/segments/{name}/history": ("/segments/s/history", versions),
    "/policies": ("/policies", policies),
    "/policies/{name}/history": ("/policies/offers/history", policies),
    "/channels": ("/channels", nothing),
    "/sink/messages": ("/sink/messages", messages),
    "/deliveries": ("/deliveries", deliveries),
    "/reports": ("/reports", reports),
    "/reviews": ("/reviews", reviews),
    "/catalogues": ("/catalogues", catalogues),
    "/catalogues/{name}/items": ("/catalogues/c/items", items),
    "/coupon-pools": ("/coupon-pools", pools),
    "/coupon-pools/{name}/given": ("/coupon-pools/p/given", given_codes),
    "/keys": ("/keys", keys),
    "/members": ("/members", members),
    "/invitations": ("/invitations", invitations),
    "/roles": ("/roles", roles),
    "/environments": ("/environments", environments),
    "/issuers": ("/issuers", issuers),
    "/audit": ("/audit", keys),
    "/exports": ("/exports", exports),
    "/users/{user_id}/inbox": ("/users/u-17/inbox", inbox),
    "/auth/sessions": ("/auth/sessions", sessions),
}
SAME = {
    "/campaigns/{name}/history": "/segments/{name}/history",
    "/templates/{name}/history": "/segments/{name}/history",
    "/users/inbox": "/users/{user_id}/inbox",
}
"""Lists of the same code as another."""
OF_THEIR_OWN = {"/users"}
BARE = {"/deliveries": ("status", "channel")}
"""Filters without `filter[...]` around them."""


class Asking:
    """Asks one list."""

    def __init__(self, has: Prepared, path: str) -> None:
        self.has, self.path = has, path
        self.headers = {"Authorization": f"Bearer {has.bearer}"}

    async def page(self, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self.has.caller.ok("GET", self.path, params=query, headers=self.headers)
        return found

    async def all(self, **query: Any) -> list[dict[str, Any]]:
        found = await self.page(limit=500, **query)
        assert found["next_cursor"] is None or self.path.startswith("/sink")
        return list(found["data"])

    async def by_pages(self, limit: int, **query: Any) -> list[dict[str, Any]]:
        found, cursor = [], None
        for _ in range(100):
            page = await self.page(limit=limit, **query, **({} if cursor is None else {"cursor": cursor}))
            assert len(page["data"]) <= limit
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found
        raise AssertionError("there is always another page")

    async def refused(self, **query: Any) -> tuple[int, str]:
        return await self.has.caller.problem("GET", self.path, params=query, headers=self.headers)


def parameters(world: World, template: str) -> dict[str, dict[str, Any]]:
    told = world.app.openapi()["paths"][f"/v1{template}"]["get"]["parameters"]
    return {one["name"]: one["schema"] for one in told if one["in"] == "query"}


def filters(template: str, told: dict[str, Any]) -> list[str]:
    """What a list may be narrowed by, as callers write it."""
    return [name for name in told if name.startswith("filter[") or name in BARE.get(template, ())]


def in_order(values: list[Any], *, descends: bool) -> bool:
    """Whether values are sorted, those that are none at the end."""
    there = [one for one in values if one is not None]
    return values == sorted(there, reverse=descends) + [None] * (len(values) - len(there))


def enum_of(schema: dict[str, Any]) -> list[str]:
    found: list[str] = schema.get("enum") or next((one["enum"] for one in schema.get("anyOf", ()) if "enum" in one), [])
    return found


def test_every_list_is_looked_at_here(world: World) -> None:
    lists = {
        path.removeprefix("/v1")
        for path, operations in world.app.openapi()["paths"].items()
        if "limit" in {one["name"] for one in operations.get("get", {}).get("parameters", [])}
    }
    assert lists == {*LISTS, *SAME, *OF_THEIR_OWN}


@pytest.mark.parametrize("template", LISTS)
async def test_a_list_is_the_same_in_pages_of_any_size_in_every_order(
    world: World, tmp_path: Path, template: str
) -> None:
    has = Prepared(world, tmp_path)
    path, fill = LISTS[template]
    await fill(has)
    asking, told = Asking(has, path), parameters(world, template)
    usual = await asking.all()
    assert len(usual) > 1
    orders = enum_of(told.get("sort", {}))
    for order in [None, *orders]:
        query = {} if order is None else {"sort": order}
        whole = await asking.all(**query)
        assert sorted(map(str, whole)) == sorted(map(str, usual))
        if order is not None and order.lstrip("-") in whole[0]:
            assert in_order([one[order.lstrip("-")] for one in whole], descends=order.startswith("-")), order
        for limit in (1, 2, 3):
            assert await asking.by_pages(limit, **query) == whole, (order, limit)
    for member in usual[0]:
        chosen = await asking.by_pages(2, fields=member)
        assert all(member in one and len(one) <= 2 for one in chosen)
        assert [one[member] for one in chosen] == [one[member] for one in usual]
    for name in filters(template, told):
        member = name.removeprefix("filter[").removesuffix("]")
        if isinstance(usual[0].get(member), (str, bool)):
            wanted = usual[0][member]
            text = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
            passing = await asking.all(**{name: text})
            assert passing == [one for one in usual if one[member] == wanted] != [], name


@pytest.mark.parametrize("template", LISTS)
async def test_what_a_list_does_not_have_is_refused(world: World, tmp_path: Path, template: str) -> None:
    has = Prepared(world, tmp_path)
    path, fill = LISTS[template]
    await fill(has)
    asking = Asking(has, path)
    assert await asking.refused(**{"filter[colour]": "red"}) == (400, "unknown_filter")
    assert await asking.refused(colour="red") == (400, "unknown_parameter")
    assert await asking.refused(fields="colour") == (400, "unknown_field")
    assert (await asking.refused(sort="colour"))[0] == 400
    assert (await asking.refused(limit=0))[0] == (await asking.refused(limit=501))[0] == 422
    assert await asking.refused(limit=[1, 2]) == (400, "repeated_parameter")
    assert await asking.refused(cursor="00ff") == (400, "invalid_cursor")
    cursor = (await asking.page(limit=1))["next_cursor"]
    told = parameters(world, template)
    for name, schema in ((name, told[name]) for name in filters(template, told)):
        if enum_of(schema):
            assert await asking.refused(**{name: "colour"}) == (400, "invalid_filter")
            assert await asking.refused(**{name: enum_of(schema)[0]}, cursor=cursor) == (400, "invalid_cursor")
    if orders := enum_of(parameters(world, template).get("sort", {})):
        for order in orders:
            found = await asking.page(limit=1, sort=order)
            if found["next_cursor"] != cursor and found["next_cursor"] is not None:
                assert await asking.refused(cursor=found["next_cursor"]) == (400, "invalid_cursor")
                break
    forged = cursor[:-2] + ("00" if cursor[-2:] != "00" else "01")
    assert (await asking.refused(cursor=forged))[1] == "invalid_cursor"
    other = Prepared(world, tmp_path / "other")
    await fill(other)
    assert await Asking(other, path).refused(cursor=cursor) == (400, "invalid_cursor")
    elsewhere = "/templates" if path == "/channels" else "/channels"
    assert await Asking(has, elsewhere).refused(cursor=cursor) == (400, "invalid_cursor")
