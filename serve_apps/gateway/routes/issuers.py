"""OpenID Connect issuers that a tenant trusts. A client secret is written and never read."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.identity.issuers import Issuer
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, made_at, read_as
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

_EXAMPLE = {
    "issuer": "https://login.example.com",
    "client_id": "whisperer",
    "client_secret": "a secret of theirs",
    "roles": {"growth": "marketer", "*": "viewer"},
    "role_claim": "groups",
}
_ANSWER = {
    "id": "iss_01kb3q",
    "issuer": "https://login.example.com",
    "audience": "whisperer",
    "client_id": "whisperer",
    "has_client_secret": True,
    "role_claim": "groups",
    "roles": {"growth": "marketer", "*": "viewer"},
    "login_url": "https://whisperer.example.com/auth/login/iss_01kb3q",
    "redirect_uri": "https://whisperer.example.com/auth/callback",
}


class IssuerDocument(msgspec.Struct):
    """An issuer as callers see it, without its secret."""

    id: str
    issuer: str
    audience: str
    client_id: str
    has_client_secret: bool
    role_claim: str
    roles: dict[str, str]
    login_url: str
    redirect_uri: str


LIST = Listing("issuers", IssuerDocument, key="id", sorts=("id", "issuer"))


class IssuerBody(msgspec.Struct, forbid_unknown_fields=True):
    """An issuer; ``audience`` is the client's id unless it is named."""

    issuer: str
    client_id: str
    client_secret: str | None = None
    audience: str | None = None
    role_claim: str = "roles"
    roles: dict[str, str] = {}


class IssuerChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    client_id: str | msgspec.UnsetType = msgspec.UNSET
    client_secret: str | msgspec.UnsetType | None = msgspec.UNSET
    audience: str | msgspec.UnsetType = msgspec.UNSET
    role_claim: str | msgspec.UnsetType = msgspec.UNSET
    roles: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["issuers"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.ISSUERS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.ISSUERS_WRITE))]
    plane = parts.plane

    def shown(one: Issuer) -> IssuerDocument:
        return document(one, parts.public_url)

    @routes.get(
        "/issuers",
        summary="OpenID Connect issuers that are trusted",
        openapi_extra=LIST.documented(_ANSWER),
    )
    async def list_issuers(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, map(shown, await asyncio.to_thread(plane.list_issuers, tenant_id)))

    @routes.post(
        "/issuers",
        summary="Trust an issuer",
        status_code=201,
        openapi_extra=described("NewIssuer", _EXAMPLE) | answered(IssuerDocument, _ANSWER, 201),
    )
    async def add_issuer(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, IssuerBody)
        asked = {name: getattr(body, name) for name in body.__struct_fields__ if name != "issuer"}
        added = await asyncio.to_thread(lambda: plane.add_issuer(tenant_id, body.issuer, **asked))
        return made_at(request, shown(added), added.id)

    @routes.get("/issuers/{issuer}", summary="One issuer", openapi_extra=answered(IssuerDocument, _ANSWER))
    async def get_issuer(issuer: str, tenant_id: Reader) -> Response:
        return answer(shown(await asyncio.to_thread(plane.get_issuer, issuer, tenant_id)))

    @routes.patch(
        "/issuers/{issuer}",
        summary="Change an issuer's client, audience or roles",
        openapi_extra=described("IssuerChange", {"roles": {"*": "viewer"}})
        | answered(IssuerDocument, _ANSWER | {"roles": {"*": "viewer"}}),
    )
    async def change_issuer(issuer: str, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, IssuerChange)
        told = {name: getattr(body, name) for name in body.__struct_fields__}
        changes = {name: value for name, value in told.items() if value is not msgspec.UNSET}
        return answer(shown(await asyncio.to_thread(plane.change_issuer, issuer, tenant_id, changes)))

    @routes.delete(
        "/issuers/{issuer}",
        summary="Trust an issuer no more; its tokens stop at once",
        openapi_extra=answered(IssuerDocument, _ANSWER),
    )
    async def remove_issuer(issuer: str, tenant_id: Writer) -> Response:
        return answer(shown(await asyncio.to_thread(plane.remove_issuer, issuer, tenant_id)))

    return routes


def document(one: Issuer, public_url: str) -> IssuerDocument:
    """Return an issuer as callers see it."""
    return IssuerDocument(
        one.id,
        one.issuer,
        one.audience,
        one.client_id,
        one.client_secret is not None,
        one.role_claim,
        dict(one.roles),
        f"{public_url}/auth/login/{one.id}",
        f"{public_url}/auth/callback",
    )
