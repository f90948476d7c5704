"""The segments resource: a predicate and who is in it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.exchange import InvalidBodyError, TenantOf, answer, described, read_object
from serve_apps.gateway.http.paging import Cursor, Limit, page
from serve_apps.gateway.services.parts import Parts
from whisperer.ids import TenantId

EXAMPLE = {"predicate": {"event": "Order Completed", "op": "gte", "count": 3, "days": 30}}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["segments"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.get("/segments", summary="Published segments with their members")
    async def list_segments(tenant_id: Tenant, limit: Limit = 100, cursor: Cursor = None) -> Response:
        return answer(page(await parts.publishing.list(tenant_id), lambda s: s.name, limit, cursor))

    @routes.post(
        "/segments",
        summary="Publish a segment's next version",
        status_code=201,
        openapi_extra=described("NewSegment", {"name": "regulars", **EXAMPLE}),
    )
    async def create_segment(request: Request, tenant_id: Tenant) -> Response:
        body = await read_object(request)
        name = body.pop("name", None)
        if not isinstance(name, str):
            raise InvalidBodyError("/name", "say its name, as a text")
        return answer(await parts.publishing.publish(tenant_id, name, _predicate(body)), 201)

    @routes.put(
        "/segments/{name}",
        summary="Publish a segment's next version",
        openapi_extra=described("SegmentVersion", EXAMPLE, {"name": "regulars", "version": 2, **EXAMPLE}),
    )
    async def publish_segment(name: str, request: Request, tenant_id: Tenant) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a segment keeps its name; leave it out, or publish another one")
        return answer(await parts.publishing.publish(tenant_id, name, _predicate(body)))

    @routes.get("/segments/{name}", summary="One segment: predicate, members, backfill progress")
    async def get_segment(name: str, tenant_id: Tenant) -> Response:
        return answer(await parts.publishing.show(tenant_id, name))

    @routes.delete("/segments/{name}", summary="End a segment")
    async def archive_segment(name: str, tenant_id: Tenant) -> Response:
        return answer(await parts.publishing.archive(tenant_id, name))

    return routes


def _predicate(body: dict[str, Any]) -> Any:
    if "predicate" not in body:
        raise InvalidBodyError("", "say who is in it, as predicate (docs/segments.md)")
    for name in body:
        if name != "predicate":
            raise InvalidBodyError(f"/{name[:80]}", "there is no such member; a segment has a predicate")
    return body["predicate"]
