"""The roles resource: the built-in ones, and a tenant's own as sets of permissions. docs/access.md describes it."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import RoleDocument, role_document
from cluster.control_plane.people.roles import OF_OWN_ROLES
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, made_at, read_as
from serve_apps.gateway.http.listing import FLAG, Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import giver_of
from serve_apps.gateway.routes.members import RoleName
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

EXAMPLE = {"permissions": ["templates:*", "campaigns:read"]}
SHOWN = {
    "name": "copywriter",
    "permissions": ["campaigns:read", "templates:publish", "templates:read", "templates:write"],
    "built_in": False,
    "changed_at": "2026-01-31T09:00:00.000Z",
}

_Permissions = Annotated[list[str], msgspec.Meta(max_length=len(OF_OWN_ROLES))]


class RoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a role may do: permissions, or ``resource:*`` for all of a resource."""

    permissions: _Permissions


class NewRoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A role of the tenant's own."""

    name: RoleName
    permissions: _Permissions


class DeletedRole(msgspec.Struct):
    """A role that is gone."""

    name: str
    deleted: bool = True


LIST = Listing("roles", RoleDocument, sorts=("name", "changed_at"), filters={"built_in": FLAG})


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["members"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_WRITE))]

    @routes.get(
        "/roles",
        summary="Roles by name with their permissions, the built-in ones among them",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_roles(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, map(role_document, await asyncio.to_thread(parts.plane.list_roles, tenant_id)))

    @routes.post(
        "/roles",
        summary="Define a role; never one that may do more than you",
        status_code=201,
        openapi_extra=described("NewRole", {"name": "copywriter", **EXAMPLE}) | answered(RoleDocument, SHOWN, 201),
    )
    async def create_role(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, NewRoleBody)
        giver = giver_of(request)
        made = await asyncio.to_thread(parts.plane.create_role, tenant_id, body.name, body.permissions, giver)
        return made_at(request, role_document(made), made.name, etag=made.etag)

    @routes.get("/roles/{role}", summary="One role", openapi_extra=answered(RoleDocument, SHOWN))
    async def get_role(role: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.get_role, tenant_id, role)
        return answer(role_document(found), etag=found.etag)

    @routes.put(
        "/roles/{role}",
        summary="Replace a role's permissions, at once for everybody who has it",
        openapi_extra=described("Role", EXAMPLE) | answered(RoleDocument, SHOWN),
    )
    async def change_role(role: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, RoleBody)
        giver = giver_of(request)
        changed = await asyncio.to_thread(parts.plane.change_role, tenant_id, role, body.permissions, giver, if_match)
        return answer(role_document(changed), etag=changed.etag)

    @routes.delete(
        "/roles/{role}",
        summary="Delete a role that nobody has",
        openapi_extra=answered(DeletedRole, {"name": "copywriter", "deleted": True}),
    )
    async def delete_role(role: str, request: Request, tenant_id: Writer) -> Response:
        await asyncio.to_thread(parts.plane.delete_role, tenant_id, role, giver_of(request))
        return answer(DeletedRole(role))

    return routes
