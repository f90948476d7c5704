"""The environments resource: further places of a tenant with data, keys and channels of their own."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import EnvironmentDocument, KeyDocument, environment_document
from cluster.control_plane.tenancy.environments import ENVIRONMENT_PATTERN
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, made_at, read_as, shown_once
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.routes.keys import EXAMPLE as KEY_EXAMPLE
from serve_apps.gateway.routes.keys import MADE as KEY_MADE
from serve_apps.gateway.routes.keys import KeyBody, made_key
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.errors import ConflictError
from whisperer.ids import TenantId

SHOWN = {
    "name": "test",
    "tenant": "acme.test",
    "id": "tn_01kdq3m5v7",
    "created_at": "2026-01-31T09:00:00.000Z",
}


class EnvironmentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new environment."""

    name: Annotated[str, msgspec.Meta(pattern=f"^{ENVIRONMENT_PATTERN}$")]


LIST = Listing("environments", EnvironmentDocument, sorts=("name", "created_at"))


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["environments"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.ENVIRONMENTS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.ENVIRONMENTS_WRITE))]

    @routes.get(
        "/environments",
        summary="Environments by name; live is the tenant itself",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_environments(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await asyncio.to_thread(parts.plane.list_environments, tenant_id)
        return asked.page(tenant_id, map(environment_document, found))

    @routes.post(
        "/environments",
        summary="Create an environment; it is there for good",
        status_code=201,
        openapi_extra=described("NewEnvironment", {"name": "test"}) | answered(EnvironmentDocument, SHOWN, 201),
    )
    async def create_environment(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, EnvironmentBody)
        made = await asyncio.to_thread(parts.plane.create_environment, tenant_id, body.name)
        return made_at(request, environment_document(made), made.environment)

    @routes.get(
        "/environments/{environment}", summary="One environment", openapi_extra=answered(EnvironmentDocument, SHOWN)
    )
    async def get_environment(environment: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.get_environment, tenant_id, environment)
        return answer(environment_document(found))

    @routes.post(
        "/environments/{environment}/keys",
        summary="Make a key of an environment; its whole text is in this answer and never again",
        status_code=201,
        openapi_extra=described("NewKey", KEY_EXAMPLE) | answered(KeyDocument, KEY_MADE, 201),
    )
    async def create_key(environment: str, request: Request, tenant_id: Writer) -> Response:
        principal_of(request).require(Permission.KEYS_WRITE)
        body = await read_as(request, KeyBody)
        found = await asyncio.to_thread(parts.plane.get_environment, tenant_id, environment)
        if found.environment_of != tenant_id:  # what is allowed in one environment does not reach the others
            raise ConflictError(
                "live makes the keys of its environments; its own are at /v1/keys", code="belongs_to_tenant"
            )
        made = await made_key(parts, request, found.id, body)
        return shown_once(made, f"/v1/keys/{made.id}")

    return routes
