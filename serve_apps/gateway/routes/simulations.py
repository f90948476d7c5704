"""The simulations resource: campaigns, published or drafts, over stored history. docs/simulation.md describes them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.exchange import TenantOf, answer, described, read_as
from serve_apps.gateway.http.paging import Cursor, Limit, page
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.simulations import SimulationBody
from whisperer.ids import TenantId


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["simulations"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.post(
        "/campaigns/{name}/simulate",
        summary="Simulate a campaign over stored history; nothing is sent",
        status_code=202,
        openapi_extra=described("NewSimulation", {"days": 28, "policy": "learned", "budget": 500}),
    )
    async def simulate(name: str, request: Request, tenant_id: Tenant) -> Response:
        begun = await parts.simulations.begin(tenant_id, name, await read_as(request, SimulationBody))
        made = answer(begun, 202)
        made.headers["Location"] = f"{request.url.path.rpartition('/')[0]}/simulations/{begun.id}"
        return made

    @routes.get(
        "/campaigns/{name}/simulations",
        summary="The last ten simulations of a campaign, oldest first, without their results",
    )
    async def list_simulations(name: str, tenant_id: Tenant, limit: Limit = 100, cursor: Cursor = None) -> Response:
        found = await parts.simulations.list(tenant_id, name)
        return answer(page(found[::-1], lambda one: one.id, limit, cursor))

    @routes.get("/campaigns/{name}/simulations/{id}", summary="How far a simulation is, and what it found")
    async def get_simulation(name: str, id: str, tenant_id: Tenant) -> Response:
        return answer(await parts.simulations.show(tenant_id, name, id))

    return routes
