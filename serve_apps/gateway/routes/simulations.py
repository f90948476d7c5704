"""The simulations resource: campaigns, published or drafts, over stored history. docs/simulation.md describes them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from actors.simulation.record import RunState
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.routes.examples import SIMULATION
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.simulations import SimulationBody, SimulationDocument
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

LIST = Listing(
    "simulations",
    SimulationDocument,
    key="id",
    sorts=("started_at", "finished_at"),
    filters={"status": of_words(RunState)},
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["simulations"])
    Runner = Annotated[TenantId, Depends(tenant_of(Permission.SIMULATIONS_RUN))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.SIMULATIONS_READ))]

    @routes.post(
        "/campaigns/{name}/simulate",
        summary="Simulate a campaign over stored history; nothing is sent",
        status_code=202,
        openapi_extra=described("NewSimulation", {"days": 28, "policy": "learned", "budget": 500})
        | answered(SimulationDocument, SIMULATION, 202),
    )
    async def simulate(name: str, request: Request, tenant_id: Runner) -> Response:
        begun = await parts.simulations.begin(tenant_id, name, await read_as(request, SimulationBody))
        made = answer(begun, 202)
        made.headers["Location"] = f"{request.url.path.rpartition('/')[0]}/simulations/{begun.id}"
        return made

    @routes.get(
        "/campaigns/{name}/simulations",
        summary="The last ten simulations of a campaign, oldest first, without their results",
        openapi_extra=LIST.documented(SIMULATION),
    )
    async def list_simulations(name: str, tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, await parts.simulations.list(tenant_id, name))

    @routes.get(
        "/campaigns/{name}/simulations/{id}",
        summary="How far a simulation is, and what it found",
        openapi_extra=answered(SimulationDocument, SIMULATION),
    )
    async def get_simulation(name: str, id: str, tenant_id: Reader) -> Response:
        return answer(await parts.simulations.show(tenant_id, name, id))

    return routes
