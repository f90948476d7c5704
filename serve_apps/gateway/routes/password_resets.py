"""Links by which a member sets a new password, made by whoever manages members."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import shown_once
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import giver_of
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.signing_in import RESET_LIFE_S
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId


class ResetLink(msgspec.Struct):
    """A link, and for how many seconds it is good."""

    url: str
    expires_in: int = RESET_LIFE_S


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["members"])
    Manager = Annotated[TenantId, Depends(tenant_of(Permission.MEMBERS_WRITE))]

    @routes.post(
        "/members/{member_id}/password-reset",
        summary="A link by which a member sets a new password, once, within a day",
        openapi_extra=answered(
            ResetLink, {"url": "https://whisperer.example.com/auth/reset?token=eyJ…", "expires_in": RESET_LIFE_S}
        ),
    )
    async def make_link(member_id: str, request: Request, tenant_id: Manager) -> Response:
        person = await asyncio.to_thread(parts.plane.check_may_reset, member_id, tenant_id, giver_of(request))
        token = await parts.signing_in.reset_token(person.id)
        made = ResetLink(f"{parts.public_url}/auth/reset?token={token}")
        return shown_once(made, request.url.path.rpartition("/")[0], 200)

    return routes
