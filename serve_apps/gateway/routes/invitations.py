"""The invitations resource: who was asked to become a member. docs/access.md describes it."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import InvitationDocument, invitation_document
from cluster.control_plane.people.invitations import GOOD_FOR_MS, MAX_GOOD_FOR_MS, InvitationState
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as, shown_once
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import giver_of, principal_of
from serve_apps.gateway.routes.keys import now_ms
from serve_apps.gateway.routes.members import RoleName
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

SHOWN = {
    "id": "ivt_01kdq3m5v7",
    **{"email": "ada@example.com", "role": "marketer", "state": "open", "invited_by": "grace@example.com"},
    **{"created_at": "2026-01-31T09:00:00.000Z", "expires_at": "2026-02-07T09:00:00.000Z"},
    **{"accepted_at": None, "revoked_at": None},
}


LIST = Listing(
    "invitations",
    InvitationDocument,
    key="id",
    sorts=("created_at", "expires_at"),
    filters={"state": of_words(InvitationState)},
)


class InvitationBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to invite, to which role, and for how many days it is good."""

    email: Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    role: RoleName
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_GOOD_FOR_MS // DAY_MS)] = GOOD_FOR_MS // DAY_MS


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["members"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_WRITE))]

    @routes.get(
        "/invitations",
        summary="Invitations in the order of their making, without their tokens",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_invitations(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        by, where = asked.filters, asked.place(tenant_id)
        state = InvitationState(by["state"]) if "state" in by else None
        found = await asyncio.to_thread(parts.plane.page_of_invitations, tenant_id, where, state=state)
        now = now_ms()
        return asked.part(tenant_id, found, lambda invitation: invitation_document(invitation, now))

    @routes.post(
        "/invitations",
        summary="Invite a person; pass on the token of this answer, which is never shown again",
        status_code=201,
        openapi_extra=described("NewInvitation", {"email": "ada@example.com", "role": "marketer", "days": 7})
        | answered(InvitationDocument, {"id": SHOWN["id"], "token": "inv_pT4x0aYq", **SHOWN}, 201),
    )
    async def invite(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, InvitationBody)
        by, giver = principal_of(request).name, giver_of(request)
        made = await asyncio.to_thread(
            lambda: parts.plane.invite(
                tenant_id, body.email, body.role, by=by, good_for_ms=body.days * DAY_MS, giver=giver
            )
        )
        return shown_once(invitation_document(made, now_ms()), f"{request.url.path}/{made.id}")

    @routes.get(
        "/invitations/{invitation_id}", summary="One invitation", openapi_extra=answered(InvitationDocument, SHOWN)
    )
    async def get_invitation(invitation_id: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.get_invitation, tenant_id, invitation_id)
        return answer(invitation_document(found, now_ms()))

    @routes.delete(
        "/invitations/{invitation_id}",
        summary="Revoke an invitation that was not accepted yet",
        openapi_extra=answered(
            InvitationDocument, SHOWN | {"state": "revoked", "revoked_at": "2026-02-01T09:00:00.000Z"}
        ),
    )
    async def revoke_invitation(invitation_id: str, tenant_id: Writer) -> Response:
        revoked = await asyncio.to_thread(parts.plane.revoke_invitation, tenant_id, invitation_id)
        return answer(invitation_document(revoked, now_ms()))

    return routes
