"""The keys resource: make, look at, rotate and revoke a tenant's API keys. docs/access.md describes them."""

import asyncio
import time
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane import NewKey
from cluster.control_plane.access_documents import KeyDocument, key_document
from cluster.control_plane.api_keys import MAX_LABEL, MAX_OVERLAP_MS
from cluster.control_plane.key_limits import MAX_NETWORKS
from cluster.control_plane.key_records import KeyState
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as, shown_once
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import giver_of
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import SCOPES, Permission
from whisperer.ids import TenantId
from whisperer.vocabulary.units import HOUR_MS

EXAMPLE = {
    "kind": "secret",
    "label": "billing service",
    "scopes": ["users:read", "users:write"],
    "expires_at": "2099-01-31T09:00:00Z",
    "addresses": ["198.51.100.0/24"],
}
SHOWN = {
    "id": "key_01kdq3m5v7",
    **{name: EXAMPLE[name] for name in ("kind", "label", "scopes", "addresses")},
    **{"shown": "sk_…AbCd", "state": "active", "created_at": "2026-01-31T09:00:00.000Z"},
    **{"expires_at": "2099-01-31T09:00:00.000Z", "revoked_at": None, "last_used_at": None, "replaced_by": None},
}

MADE = {"id": SHOWN["id"], "key": "sk_7Hq2vT0xWb3nLkYcR5pZeJ8mAbCd", **SHOWN}
"""With the key's text, in the answer that makes it."""
LIST = Listing(
    "keys",
    KeyDocument,
    key="id",
    sorts=("created_at", "label"),
    filters={"kind": of_words(("write", "secret")), "state": of_words(KeyState)},
)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]
_Scopes = Annotated[list[str], msgspec.Meta(min_length=1, max_length=len(SCOPES))]
_Addresses = Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_NETWORKS)]


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A new key. Without ``scopes`` a secret key has what docs/access.md lists; a write key takes none."""

    kind: Literal["write", "secret"]
    label: _Label = ""
    scopes: _Scopes | None = None
    expires_at: Moment | None = None
    addresses: _Addresses | None = None


class RotationBody(msgspec.Struct, forbid_unknown_fields=True):
    """How long the old key still works (24 hours if nothing is said), and when the new one ends."""

    overlap_hours: Annotated[float, msgspec.Meta(ge=0, le=MAX_OVERLAP_MS / HOUR_MS)] = 24.0
    expires_at: Moment | None = None


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["keys"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.KEYS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.KEYS_WRITE))]

    @routes.get(
        "/keys",
        summary="Keys in the order of their making, without their secrets",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_keys(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        by, where = asked.filters, asked.place(tenant_id)
        state = KeyState(by["state"]) if "state" in by else None
        found = await asyncio.to_thread(parts.plane.page_of_keys, tenant_id, where, kind=by.get("kind"), state=state)
        now = now_ms()
        return asked.part(tenant_id, found, lambda key: key_document(key, now))

    @routes.post(
        "/keys",
        summary="Make a key; its whole text is in this answer and never again",
        status_code=201,
        openapi_extra=described("NewKey", EXAMPLE) | answered(KeyDocument, MADE, 201),
    )
    async def create_key(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, KeyBody)
        made = await made_key(parts, request, tenant_id, body)
        return shown_once(made, f"{request.url.path}/{made.id}")

    @routes.get("/keys/{key_id}", summary="One key", openapi_extra=answered(KeyDocument, SHOWN))
    async def get_key(key_id: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.get_key, by_id(key_id), tenant_id)
        return answer(key_document(found, now_ms()))

    @routes.post(
        "/keys/{key_id}/rotate",
        summary="Make the key that takes its place; the old one works on for a while",
        status_code=201,
        openapi_extra=described("KeyRotation", {"overlap_hours": 24}) | answered(KeyDocument, MADE, 201),
    )
    async def rotate_key(key_id: str, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, RotationBody)
        made = await asyncio.to_thread(
            lambda: parts.plane.rotate_key(
                by_id(key_id),
                round(body.overlap_hours * HOUR_MS),
                tenant_id,
                expires_at=ms(body.expires_at),
                giver=giver_of(request),
            )
        )
        document = await _shown(parts, tenant_id, made)
        return shown_once(document, f"{request.url.path.rsplit('/', 2)[0]}/{made.id}")

    @routes.delete(
        "/keys/{key_id}",
        summary="Revoke a key; gateways refuse it within half a second",
        openapi_extra=answered(KeyDocument, SHOWN | {"state": "revoked", "revoked_at": "2026-02-01T09:00:00.000Z"}),
    )
    async def revoke_key(key_id: str, tenant_id: Writer) -> Response:
        revoked = await asyncio.to_thread(parts.plane.revoke_key, by_id(key_id), tenant_id)
        return answer(key_document(revoked, now_ms()))

    return routes


async def made_key(parts: Parts, request: Request, tenant_id: TenantId, body: KeyBody) -> KeyDocument:
    """Make a key for a tenant or an environment, by what the caller may give."""
    made = await asyncio.to_thread(
        lambda: parts.plane.create_key(
            tenant_id,
            body.kind,
            body.label,
            scopes=body.scopes,
            expires_at=ms(body.expires_at),
            addresses=body.addresses,
            giver=giver_of(request),
        )
    )
    return await _shown(parts, tenant_id, made)


async def _shown(parts: Parts, tenant_id: TenantId, made: NewKey) -> KeyDocument:
    found = await asyncio.to_thread(parts.plane.get_key, made.id, tenant_id)
    return key_document(found, now_ms(), made)


def by_id(key_id: str) -> str:
    """Return a path's id as one that finds a key by its id: the text of a key is not looked up here."""
    return key_id if key_id.startswith("key_") and key_id.isascii() and key_id.isprintable() else "key_"


def ms(moment: datetime | None) -> int | None:
    """Return a time in ms UTC."""
    return None if moment is None else round(moment.timestamp() * 1000)


def now_ms() -> int:
    """Return the time in ms UTC."""
    return time.time_ns() // 1_000_000
