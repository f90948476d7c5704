"""The operator's endpoints on shards: what each holds, and orders to the directory to change that.

An order is answered when it has been carried out; one whose answer is lost continues, and may be given again. No
postponed annotations here: FastAPI has to see the dependencies that are made outside the functions.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from actors.calls.plain import plain
from actors.calls.shard_status import SERVING, Holdings
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.routes.mounting import tenant_named
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import UnavailableError
from whisperer.ids import Partition, TenantId

Done = TypeVar("Done")


class MoveBody(msgspec.Struct):
    tenant: TenantId
    partition: Partition
    to: int


class HeldPartitions(msgspec.Struct):
    """The partitions of one tenant on one shard, with their users and events ever, in parallel."""

    shard: int
    tenant: str
    tenant_id: TenantId
    partition: list[Partition]
    users: list[int]
    events: list[int]


class HoldingsDocument(msgspec.Struct):
    map_version: int
    shards: list[int]
    draining: list[int]
    holdings: list[HeldPartitions]


def install(app: FastAPI, parts: Parts, guarded: dict[str, Any]) -> None:
    """Add the endpoints; ``guarded`` makes them the operator's."""
    # Bodies are read here and not by FastAPI, which would read any body from anyone before it checks who sent it.
    places = parts.shards.places

    async def carried_out(order: Awaitable[Done]) -> Done:
        done = await order
        await places.refresh()
        return done

    @app.get("/internal/shards", **guarded)
    async def list_() -> Response:
        await places.refresh()
        statuses = await parts.overview.shards(fresh=True)
        found = [
            {"shard": status.name, **plain(status), "number": number, "state": _state(number, status.state)}
            for number, status in zip(places.current.shards, statuses, strict=False)
        ]
        return answer({"shards": found, "map_version": places.current.version})

    @app.get("/internal/shards/holdings", **guarded)
    async def holdings() -> Response:
        await places.refresh()
        names = {tenant.id: tenant.name for tenant in await asyncio.to_thread(parts.plane.list_tenants)}
        numbers = places.current.shards
        held = await asyncio.gather(*(_holdings(number) for number in numbers))
        found = [
            HeldPartitions(number, names.get(tenant, tenant), tenant, one.partition, one.users, one.events)
            for number, tenants in zip(numbers, held, strict=True)
            for tenant, one in tenants.items()
        ]
        return answer(HoldingsDocument(places.current.version, numbers, places.current.draining, found))

    @app.post("/internal/shards/move", **guarded)
    async def move(request: Request) -> Response:
        body = await read_as(request, MoveBody)
        tenant = await tenant_named(parts, body.tenant)
        return answer(await carried_out(parts.directory.move(tenant, body.partition, body.to)))

    @app.post("/internal/shards/add", **guarded)
    async def add() -> Response:
        number = await carried_out(parts.directory.add())
        await parts.publishing.spread()  # an empty shard knows no tenant's configuration
        return answer({"shard": number, "map_version": places.current.version})

    @app.post("/internal/shards/{shard}/close", **guarded)
    async def close(shard: int) -> Response:
        heir = await carried_out(parts.directory.close(shard))
        return answer({"shard": shard, "heir": heir, "map_version": places.current.version})

    @app.post("/internal/shards/{shard}/remove", **guarded)
    async def remove(shard: int) -> Response:
        await carried_out(parts.directory.remove(shard))
        return answer({"shard": shard, "map_version": places.current.version})

    @app.post("/internal/shards/{shard}/upgrade", **guarded)
    async def upgrade(shard: int) -> Response:
        return answer({"shard": shard, **plain(await carried_out(parts.directory.upgrade(shard)))})

    async def _holdings(shard: int) -> dict[TenantId, Holdings]:
        try:
            return await parts.shards.holdings(shard)
        except UnavailableError:
            return {}

    def _state(shard: int, state: str) -> str:
        return "being emptied" if state == SERVING and shard in places.current.draining else state
