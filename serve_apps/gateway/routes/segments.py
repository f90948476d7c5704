"""The segments resource: a predicate and who is in it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.drafts import DraftDocument
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, InvalidBodyError, answer, made_at, read_object
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.services.creating import take_name, write_segment
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.segments import ArchivedSegment, PublishedSegment, SegmentDocument
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

EXAMPLE = {"predicate": {"event": "Order Completed", "op": "gte", "count": 3, "days": 30}}


PUBLISHED = {"name": "regulars", "version": 1, **EXAMPLE, "etag": '"regulars.1"'}
SHOWN = {
    **PUBLISHED,
    "description": "Order Completed at least 3 times in 30 days",
    "published_at": 1_769_850_000_000,
    "members": 120,
    "done": 4_800,
    "total": 4_800,
}
LIST = Listing("segments", SegmentDocument, sorts=("name", "published_at", "members"))


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["segments"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.SEGMENTS_READ))]
    Publisher = Annotated[TenantId, Depends(tenant_of(Permission.SEGMENTS_PUBLISH))]

    @routes.get("/segments", summary="Published segments with their members", openapi_extra=LIST.documented(SHOWN))
    async def list_segments(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, await parts.publishing.list(tenant_id))

    @routes.post(
        "/segments",
        summary="Publish a segment's next version, or write it as a draft",
        status_code=201,
        openapi_extra=described("NewSegment", {"name": "regulars", **EXAMPLE})
        | answered(PublishedSegment | DraftDocument, PUBLISHED, 201),
    )
    async def create_segment(request: Request, tenant_id: Publisher) -> Response:
        body = await read_object(request)
        name = take_name(body)
        made = await write_segment(parts, principal_of(request), name, body)
        return made_at(request, made, name, etag=made.etag)

    @routes.put(
        "/segments/{name}",
        summary="Publish a segment's next version, or write it as a draft",
        openapi_extra=described("SegmentVersion", EXAMPLE) | answered(PublishedSegment | DraftDocument, PUBLISHED),
    )
    async def put_segment(name: str, request: Request, tenant_id: Publisher, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a segment keeps its name; leave it out, or publish another one")
        made = await write_segment(parts, principal_of(request), name, body, if_match=if_match)
        return answer(made, etag=made.etag)

    @routes.get(
        "/segments/{name}",
        summary="One segment: predicate, members, backfill progress",
        openapi_extra=answered(SegmentDocument, SHOWN),
    )
    async def get_segment(name: str, tenant_id: Reader) -> Response:
        found = await parts.publishing.show(tenant_id, name)
        return answer(found, etag=found.etag)

    @routes.delete(
        "/segments/{name}",
        summary="End a segment",
        openapi_extra=answered(ArchivedSegment, {"name": "regulars", "archived": True}),
    )
    async def archive_segment(name: str, tenant_id: Publisher) -> Response:
        return answer(await parts.publishing.archive(tenant_id, name))

    return routes
