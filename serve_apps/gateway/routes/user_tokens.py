"""Tokens for users: a tenant's server asks for one and hands it to the user's browser, which uses it at `/v1/me`.

docs/access.md describes them.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cluster.times import iso
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import read_as, shown_once
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.access.user_tokens import MAX_LIFETIME_S
from whisperer.ids import TenantId

EXAMPLE = {"minutes": 60}
SHOWN = {"user_id": "u-17", "token": "ut_eyJ1IjoidS0xNyJ9.c2ln", "expires_at": "2026-01-31T10:00:00.000Z"}


class UserTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """For how many minutes the token is good."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIFETIME_S // 60)] = 60


class UserTokenDocument(msgspec.Struct):
    """A token for a user's browser."""

    user_id: str
    token: str
    expires_at: str | None


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["users"])
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.USERS_WRITE))]

    async def make(user_id: str, request: Request, tenant_id: TenantId) -> Response:
        body = await read_as(request, UserTokenBody)
        await parts.users.find_known(tenant_id, user_id)
        token, expires_at = await parts.user_tokens.make(tenant_id, user_id, body.minutes * 60)
        return shown_once(UserTokenDocument(user_id, token, iso(expires_at * 1000)), "/v1/me/consent")

    @routes.post(
        "/users/token",
        summary="Make a token for a user's browser, named by user_id",
        status_code=201,
        openapi_extra=described("NewUserToken", EXAMPLE) | answered(UserTokenDocument, SHOWN, 201),
    )
    async def make_named(
        user_id: Annotated[str, Query(min_length=1, description="Exactly this user, whatever the id contains")],
        request: Request,
        tenant_id: Writer,
    ) -> Response:
        return await make(user_id, request, tenant_id)

    @routes.post(
        "/users/{user_id:id}/token",
        summary="Make a token for a user's browser, with which the user sees and changes their own preferences",
        status_code=201,
        openapi_extra=described("NewUserToken", EXAMPLE) | answered(UserTokenDocument, SHOWN, 201),
    )
    async def make_token(user_id: str, request: Request, tenant_id: Writer) -> Response:
        return await make(user_id, request, tenant_id)

    return routes
