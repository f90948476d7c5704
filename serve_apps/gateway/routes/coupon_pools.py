"""The coupon pools resource: codes of which a message takes one for its user. docs/catalogues.md describes it.

Codes that are left are never shown: whoever has one can use it.
"""

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.coupons import CODE_PATTERN, MAX_DESCRIPTION, MAX_UPLOADED
from cluster.control_plane.supply_documents import (
    CodesDocument,
    CouponPoolDocument,
    DeletedDocument,
    GivenDocument,
    given_document,
    pool_document,
)
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, read_as
from serve_apps.gateway.http.listing import ANY, Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.uploads import described_upload, read_upload
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.supplies import upload_codes
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.shard.inspection import keys_for

EXAMPLE = {"description": "10 % off in spring"}
SHOWN = {
    "name": "spring",
    **EXAMPLE,
    "n_codes": 1_000,
    "n_given": 12,
    "n_left": 988,
    "created_at": "2026-01-31T09:00:00.000Z",
    "changed_at": "2026-01-31T09:00:00.000Z",
}
ADDED = {"n_added": 2, "n_repeated": 0, "n_left": 2, "repeated": []}
GIVEN = {
    "code": "SPRING-7QK2",
    "campaign": "trial-welcome",
    "user_id": "u-17",
    "given_at": "2026-01-31T09:00:00.000Z",
}
LIST = Listing("coupon-pools", CouponPoolDocument, sorts=("name", "created_at", "changed_at", "n_left"))
GIVEN_CODES = Listing(
    "coupon-pools/given",
    GivenDocument,
    key="code",
    sorts=("given_at", "code"),
    usual="-given_at",
    filters={"campaign": ANY, "user_id": ANY},
)


class CouponPoolBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a pool is for, in words."""

    description: Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION)] = ""


class UploadedCode(msgspec.Struct):
    """One code."""

    code: Annotated[str, msgspec.Meta(pattern=f"^{CODE_PATTERN}$")]


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["coupon-pools"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.COUPONS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.COUPONS_WRITE))]
    SeesUsers = Annotated[TenantId, Depends(tenant_of(Permission.USERS_READ))]
    plane = parts.plane

    @routes.get(
        "/coupon-pools", summary="Coupon pools by name, with what is left", openapi_extra=LIST.documented(SHOWN)
    )
    async def list_pools(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await asyncio.to_thread(plane.list_pools, tenant_id)
        return asked.page(tenant_id, map(pool_document, found))

    @routes.put(
        "/coupon-pools/{name}",
        summary="Make a coupon pool, or describe one otherwise",
        openapi_extra=described("CouponPool", EXAMPLE) | answered(CouponPoolDocument, SHOWN),
    )
    async def put_pool(name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, CouponPoolBody)
        made = await asyncio.to_thread(plane.put_pool, tenant_id, name, body.description, if_match)
        return answer(pool_document(made), etag=made.etag)

    @routes.get("/coupon-pools/{name}", summary="One coupon pool", openapi_extra=answered(CouponPoolDocument, SHOWN))
    async def get_pool(name: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(plane.get_pool, tenant_id, name)
        return answer(pool_document(found), etag=found.etag)

    @routes.delete(
        "/coupon-pools/{name}",
        summary="Delete a coupon pool with its codes, and with who got which",
        openapi_extra=answered(DeletedDocument, {"name": "spring", "deleted": True}),
    )
    async def delete_pool(name: str, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        await asyncio.to_thread(plane.delete_pool, tenant_id, name, if_match)
        return answer(DeletedDocument(name=name))

    @routes.post(
        "/coupon-pools/{name}/codes",
        summary=f"Upload up to {MAX_UPLOADED:,} codes, all or none; those that are there already are reported",
        openapi_extra=described_upload(
            "UploadedCode",
            [{"code": "SPRING-7QK2"}, {"code": "SPRING-9XW4"}],
            '{"code": "SPRING-7QK2"}\n{"code": "SPRING-9XW4"}\n',
            "code\nSPRING-7QK2\nSPRING-9XW4\n",
        )
        | answered(CodesDocument, ADDED),
    )
    async def upload(name: str, request: Request, tenant_id: Writer) -> Response:
        body, media_type = await read_upload(request)
        return answer(await upload_codes(parts, tenant_id, name, body, media_type))

    @routes.get(
        "/coupon-pools/{name}/given",
        summary="Who got which code, and for which campaign",
        openapi_extra=GIVEN_CODES.documented(GIVEN),
    )
    async def list_given(
        name: str, tenant_id: SeesUsers, asked: Annotated[Asked, Depends(GIVEN_CODES.asked)]
    ) -> Response:
        user_id = asked.filters.get("user_id")
        found = await asyncio.to_thread(
            lambda: plane.page_of_given(
                tenant_id,
                name,
                asked.place(tenant_id),
                campaign=asked.filters.get("campaign"),
                user_keys=None if user_id is None else keys_for(user_id),
            )
        )
        return asked.part(tenant_id, found, given_document)

    return routes
