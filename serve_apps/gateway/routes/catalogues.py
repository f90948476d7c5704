"""The catalogues resource: a tenant's own items that templates pick from. docs/catalogues.md describes it."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cluster.control_plane.catalogues import MAX_ITEMS
from cluster.control_plane.supply_documents import (
    CatalogueDocument,
    DeletedDocument,
    ItemDocument,
    UploadDocument,
    catalogue_document,
    item_document,
    upload_document,
)
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, read_as
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.uploads import described_upload, read_upload
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.supplies import upload_items
from whisperer.access.permissions import Permission
from whisperer.content.catalogue.fields import FIELD_PATTERN, KINDS, MAX_FIELDS
from whisperer.ids import TenantId

FIELDS = {"name": "string", "category": "string", "price": "number", "url": "url", "tags": "list"}
EXAMPLE = {"fields": FIELDS}
SHOWN = {
    "name": "products",
    "fields": FIELDS,
    "n_items": 2,
    "n_bytes": 240,
    "created_at": "2026-01-31T09:00:00.000Z",
    "changed_at": "2026-01-31T09:00:00.000Z",
}
VALUES: dict[str, Any] = {
    "name": "Walking boots",
    "category": "shoes",
    "price": 89.5,
    "url": "https://shop.example.com/p/boots",
    "tags": ["new", "outdoor"],
}
ITEM = {"id": "p-1", "values": VALUES, "changed_at": "2026-01-31T09:00:00.000Z"}
UPLOADED = {"n_added": 1, "n_changed": 0, "n_removed": 0, "n_items": 1}
_LINES = '{"id": "p-1", "name": "Walking boots", "price": 89.5}\n'
_TABLE = "id,name,price,tags\np-1,Walking boots,89.5,new|outdoor\n"

LIST = Listing("catalogues", CatalogueDocument, sorts=("name", "created_at", "changed_at"))
ITEMS = Listing("catalogues/items", ItemDocument, key="id", sorts=("id", "changed_at"))

Replace = Annotated[bool, Query(description="true: items that the upload does not name are removed")]


class CatalogueBody(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a catalogue's items, each with its kind; the id is always there."""

    fields: Annotated[
        dict[
            Annotated[str, msgspec.Meta(pattern=f"^{FIELD_PATTERN}$")],
            Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(KINDS)})],
        ],
        msgspec.Meta(min_length=1, max_length=MAX_FIELDS),
    ]


class ItemBody(msgspec.Struct, forbid_unknown_fields=True):
    """The values of an item, by field; fields that are left out are absent."""

    values: dict[str, Any]


class UploadedItem(msgspec.Struct):
    """An item with its values by field, next to its id."""

    id: str


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["catalogues"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.CATALOGUES_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.CATALOGUES_WRITE))]
    plane = parts.plane

    @routes.get("/catalogues", summary="Catalogues by name", openapi_extra=LIST.documented(SHOWN))
    async def list_catalogues(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await asyncio.to_thread(plane.list_catalogues, tenant_id)
        return asked.page(tenant_id, map(catalogue_document, found))

    @routes.put(
        "/catalogues/{name}",
        summary="Make a catalogue, or add fields to one",
        openapi_extra=described("Catalogue", EXAMPLE) | answered(CatalogueDocument, SHOWN),
    )
    async def put_catalogue(name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, CatalogueBody)
        made = await asyncio.to_thread(plane.put_catalogue, tenant_id, name, body.fields, if_match)
        return answer(catalogue_document(made), etag=made.etag)

    @routes.get(
        "/catalogues/{name}",
        summary="One catalogue, without its items",
        openapi_extra=answered(CatalogueDocument, SHOWN),
    )
    async def get_catalogue(name: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(plane.get_catalogue, tenant_id, name)
        return answer(catalogue_document(found), etag=found.etag)

    @routes.delete(
        "/catalogues/{name}",
        summary="Delete a catalogue with its items",
        openapi_extra=answered(DeletedDocument, {"name": "products", "deleted": True}),
    )
    async def delete_catalogue(name: str, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        await asyncio.to_thread(plane.delete_catalogue, tenant_id, name, if_match)
        return answer(DeletedDocument(name=name))

    @routes.get("/catalogues/{name}/items", summary="Items by id", openapi_extra=ITEMS.documented(ITEM))
    async def list_items(name: str, tenant_id: Reader, asked: Annotated[Asked, Depends(ITEMS.asked)]) -> Response:
        found = await asyncio.to_thread(plane.page_of_items, tenant_id, name, asked.place(tenant_id))
        return asked.part(tenant_id, found, item_document)

    @routes.post(
        "/catalogues/{name}/items",
        summary=f"Upload up to {MAX_ITEMS:,} items, all or none",
        openapi_extra=described_upload("UploadedItem", [{"id": "p-1", **VALUES}], _LINES, _TABLE)
        | answered(UploadDocument, UPLOADED),
    )
    async def upload(name: str, request: Request, tenant_id: Writer, replace: Replace = False) -> Response:
        body, media_type = await read_upload(request)
        return answer(upload_document(await upload_items(parts, tenant_id, name, body, media_type, replace=replace)))

    @routes.get("/catalogues/{name}/items/{item_id:id}", summary="One item", openapi_extra=answered(ItemDocument, ITEM))
    async def get_item(name: str, item_id: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(plane.get_item, tenant_id, name, item_id)
        return answer(item_document(found), etag=found.etag)

    @routes.put(
        "/catalogues/{name}/items/{item_id:id}",
        summary="Write an item",
        openapi_extra=described("CatalogueItem", {"values": VALUES}) | answered(ItemDocument, ITEM),
    )
    async def put_item(
        name: str, item_id: str, request: Request, tenant_id: Writer, if_match: IfMatch = None
    ) -> Response:
        body = await read_as(request, ItemBody)
        made = await asyncio.to_thread(plane.put_item, tenant_id, name, item_id, body.values, if_match)
        return answer(item_document(made), etag=made.etag)

    @routes.delete(
        "/catalogues/{name}/items/{item_id:id}",
        summary="Delete an item",
        openapi_extra=answered(DeletedDocument, {"name": "p-1", "deleted": True}),
    )
    async def delete_item(name: str, item_id: str, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        await asyncio.to_thread(plane.delete_item, tenant_id, name, item_id, if_match)
        return answer(DeletedDocument(name=item_id))

    return routes
