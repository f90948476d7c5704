"""The settings resource: what a tenant has set. docs/access.md describes it; the tier is the operator's to change."""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import SettingsDocument, settings_document
from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.tenancy.tenant_settings import MAX_ORIGIN_CHARS, MAX_ORIGINS
from cluster.control_plane.tenancy.test_recipients import MAX_ADDRESS_CHARS, MOST_OF_A_CHANNEL
from cluster.control_plane.tenancy.user_secrets import MAX_OVERLAP_MS
from cluster.times import iso
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, read_as
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.content.brand import MAX_CHARS
from whisperer.errors import ForbiddenError
from whisperer.ids import TenantId
from whisperer.vocabulary.units import HOUR_MS

BRAND = {"name": "Acme", "address": "1 Example Street, Springfield", "primary": "#0b6e5f"}
EXAMPLE = {
    "approval": True,
    "second_factor": False,
    "origins": ["https://app.example.com"],
    "brand": BRAND,
    "test_recipients": {"email": ["tests@example.com"]},
    "links_base_url": "https://go.example.com",
    "postal_address": True,
}
SHOWN = {"tier": None, **EXAMPLE, "changed_at": "2026-01-31T09:00:00.000Z"}


_Addresses = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS)]], msgspec.Meta(max_length=MOST_OF_A_CHANNEL)
]


class SettingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Values left out stay as they are; a ``tier`` of "" brings the installation's default back.

    So do values of ``brand`` that are left out; "" takes one out. ``test_recipients``: channel -> all its addresses.
    """

    tier: Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_-]{0,31})?$")] | None = None
    approval: bool | None = None
    second_factor: bool | None = None
    origins: (
        Annotated[list[Annotated[str, msgspec.Meta(max_length=MAX_ORIGIN_CHARS)]], msgspec.Meta(max_length=MAX_ORIGINS)]
        | None
    ) = None
    brand: (
        Annotated[
            dict[Annotated[str, msgspec.Meta(max_length=40)], Annotated[str, msgspec.Meta(max_length=MAX_CHARS)]],
            msgspec.Meta(max_length=20),
        ]
        | None
    ) = None
    test_recipients: (
        Annotated[dict[Annotated[str, msgspec.Meta(max_length=40)], _Addresses], msgspec.Meta(max_length=20)] | None
    ) = None
    postal_address: bool | None = None
    links_base_url: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class UserSecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """How long tokens of the present secret still work."""

    overlap_hours: Annotated[float, msgspec.Meta(ge=0, le=MAX_OVERLAP_MS / HOUR_MS)] = 24.0


class UserSecretDocument(msgspec.Struct):
    """Until when tokens of the secret before still work."""

    previous_until: str | None


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["settings"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.SETTINGS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.SETTINGS_WRITE))]

    @routes.get("/settings", summary="The tenant's settings", openapi_extra=answered(SettingsDocument, SHOWN))
    async def get_settings(tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.tenant_settings, tenant_id)
        return answer(settings_document(found), etag=found.etag)

    @routes.put(
        "/settings",
        summary="Change settings; what is left out stays",
        openapi_extra=described("Settings", EXAMPLE) | answered(SettingsDocument, SHOWN),
    )
    async def put_settings(request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        changes = msgspec.structs.asdict(await read_as(request, SettingsBody))
        if changes["tier"] is not None and principal_of(request).kind is not ActorKind.OPERATOR:
            raise ForbiddenError("the tier is changed by whoever runs the installation", code="operator_only")
        changed = await asyncio.to_thread(
            lambda: parts.plane.set_tenant_settings(tenant_id, **changes, if_match=if_match)
        )
        return answer(settings_document(changed), etag=changed.etag)

    @routes.post(
        "/settings/user_secret/rotate",
        summary="Sign users' tokens with a new secret; tokens of the present one work on for a while",
        openapi_extra=described("UserSecretRotation", {"overlap_hours": 24})
        | answered(UserSecretDocument, {"previous_until": "2026-02-01T09:00:00.000Z"}),
    )
    async def rotate_user_secret(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, UserSecretBody)
        overlap = round(body.overlap_hours * HOUR_MS)
        rotated = await asyncio.to_thread(parts.plane.rotate_user_secret, tenant_id, overlap)
        return answer(UserSecretDocument(iso(rotated.previous_until)))

    return routes
