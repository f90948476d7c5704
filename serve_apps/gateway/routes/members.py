"""The members resource: who belongs to a tenant, in which role. docs/access.md describes it."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import MemberDocument, member_document
from cluster.control_plane.people.roles import ROLE_PATTERN
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, read_as
from serve_apps.gateway.http.listing import ANY, Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import giver_of
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

RoleName = Annotated[str, msgspec.Meta(pattern=f"^{ROLE_PATTERN}$")]
SHOWN = {
    "id": "per_01kdq3m5v7",
    "email": "ada@example.com",
    "name": "Ada",
    "role": "marketer",
    "second_factor": True,
    "joined_at": "2026-01-31T09:00:00.000Z",
    "changed_at": "2026-01-31T09:00:00.000Z",
    "disabled_at": None,
}


LIST = Listing(
    "members",
    MemberDocument,
    key="id",
    sorts=("created_at", "email", "name", "role"),
    filters={"role": ANY},
)


class MemberBody(msgspec.Struct, forbid_unknown_fields=True):
    """A member's role."""

    role: RoleName


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["members"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_WRITE))]

    @routes.get(
        "/members",
        summary="Members with their roles, in the order in which they came to the installation",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_members(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        where, role = asked.place(tenant_id), asked.filters.get("role")
        found = await asyncio.to_thread(parts.plane.page_of_members, tenant_id, where, role=role)
        return asked.part(tenant_id, found, member_document)

    @routes.get("/members/{member_id}", summary="One member", openapi_extra=answered(MemberDocument, SHOWN))
    async def get_member(member_id: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.get_member, tenant_id, member_id)
        return answer(member_document(found), etag=found.etag)

    @routes.put(
        "/members/{member_id}",
        summary="Give a member another role; never one that may do more than you",
        openapi_extra=described("Member", {"role": "analyst"}) | answered(MemberDocument, SHOWN | {"role": "analyst"}),
    )
    async def change_member(member_id: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, MemberBody)
        giver = giver_of(request)
        changed = await asyncio.to_thread(parts.plane.change_member, tenant_id, member_id, body.role, giver, if_match)
        return answer(member_document(changed), etag=changed.etag)

    @routes.delete(
        "/members/{member_id}",
        summary="End a membership; the last owner stays",
        openapi_extra=answered(MemberDocument, SHOWN),
    )
    async def remove_member(member_id: str, request: Request, tenant_id: Writer) -> Response:
        removed = await asyncio.to_thread(parts.plane.remove_member, tenant_id, member_id, giver_of(request))
        return answer(member_document(removed))

    return routes
