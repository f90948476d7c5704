"""A route that is to go says so in the document, on its answers and in a metric. None is to go, so this mounts one."""

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import httpx
import pytest
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from serve_apps.gateway.http.added import AddedHeaders
from serve_apps.gateway.http.deprecated import DeprecatedCalls, Deprecation, deprecated
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.permitted import deprecations
from serve_apps.gateway.http.shortcut import Shortcut
from tests.support.gateway_world import Caller, World
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

LEAVING = Deprecation(
    datetime(2026, 1, 31, 9, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC), "https://example.com/api#versions"
)
ANNOUNCED = {
    "deprecation": "@1769850000",
    "sunset": "Sat, 01 Aug 2026 00:00:00 GMT",
    "link": '<https://example.com/api#versions>; rel="deprecation"; type="text/html"',
}


def mount(world: World) -> None:
    access = world.parts.access

    async def tenant(request: Request) -> TenantId:
        return await access.admit(request, await access.principal(request), Permission.SEGMENTS_READ)

    @world.own_app.get("/v1/old/{name}", tags=["segments"], summary="To go", dependencies=[deprecated(LEAVING)])
    async def old(name: str, tenant_id: Annotated[TenantId, Depends(tenant)]) -> Response:
        return answer({"name": name})


def test_nothing_is_to_go(world: World) -> None:
    assert deprecations(world.own_app) == {}
    operations = [one for path in world.own_app.openapi()["paths"].values() for one in path.values()]
    assert not any(one.get("deprecated") for one in operations)


def test_the_document_says_that_it_goes(world: World) -> None:
    mount(world)
    told = world.own_app.openapi()["paths"]["/v1/old/{name}"]["get"]
    assert told["deprecated"] is True
    assert told["externalDocs"]["url"] == LEAVING.see
    assert "2026-08-01" in told["externalDocs"]["description"]


@pytest.mark.parametrize("way", ["whole", "short"])
async def test_its_answers_say_so_and_its_callers_are_counted(world: World, acme: Caller, way: str) -> None:
    mount(world)
    counted: Counter[tuple[str, str]] = Counter()

    def count(route: str, tenant_id: str) -> None:
        counted[route, tenant_id] += 1

    app = AddedHeaders(DeprecatedCalls(Shortcut(world.own_app) if way == "short" else world.own_app, count))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000", headers=acme.http.headers
    ) as client:
        told = await client.get("/v1/old/a")
        refused = await client.get("/v1/old/a", headers={"Authorization": ""})
        other = await client.get("/v1/segments")
    assert (told.status_code, refused.status_code, other.status_code) == (200, 401, 200)
    for name, value in ANNOUNCED.items():
        assert told.headers[name] == refused.headers[name] == value
        assert name not in other.headers
    assert counted == {("/v1/old/{name}", acme.id): 1, ("/v1/old/{name}", ""): 1}
