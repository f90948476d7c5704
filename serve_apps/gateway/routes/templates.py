"""The templates resource: every change is a new version. docs/templates.md describes the body."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.documents import TemplateDocument, template_document
from serve_apps.gateway.http.exchange import (
    IfMatch,
    InvalidBodyError,
    TenantOf,
    answer,
    described,
    read_as,
    read_object,
)
from serve_apps.gateway.http.paging import Cursor, Limit, Version, page
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.preview import PreviewBody, preview
from whisperer.ids import TenantId

EXAMPLE = {
    "channel": "email",
    "default_locale": "en",
    "locales": {"en": {"subject": "Hello {{ user.name }}", "text": "Three tips to begin with: https://example.com"}},
    "missing": "blank",
    "defaults": {"name": "there"},
}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["templates"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type
    # One at a time: compiling a large template takes seconds, and the same threads look up keys.
    compiling = asyncio.Semaphore(1)

    async def put(
        tenant_id: TenantId, name: str, body: dict[str, Any], if_match: str | None = None
    ) -> TemplateDocument:
        write = partial(parts.plane.put_template, if_match=if_match)
        async with compiling:
            return template_document(await asyncio.to_thread(write, tenant_id, name, body))

    @routes.post(
        "/templates",
        summary="Publish a template's next version",
        status_code=201,
        openapi_extra=described("NewTemplate", {"name": "tips-email", **EXAMPLE}),
    )
    async def create_template(request: Request, tenant_id: Tenant) -> Response:
        body = await read_object(request)
        name = body.pop("name", None)
        if not isinstance(name, str):
            raise InvalidBodyError("/name", "say its name, as a text")
        made = await put(tenant_id, name, body)
        return answer(made, 201, etag=made.etag)

    @routes.get("/templates", summary="Templates by name, the newest version of each")
    async def list_templates(tenant_id: Tenant, limit: Limit = 100, cursor: Cursor = None) -> Response:
        found = await asyncio.to_thread(parts.plane.list_templates, tenant_id)
        return answer(page([template_document(t) for t in found], lambda t: t.name, limit, cursor))

    @routes.get("/templates/{name}", summary="One template: the newest version, or the one named")
    async def get_template(name: str, tenant_id: Tenant, version: Version = None) -> Response:
        found = template_document(await asyncio.to_thread(parts.plane.get_template, tenant_id, name, version))
        return answer(found, etag=found.etag)

    @routes.put(
        "/templates/{name}",
        summary="Publish a template's next version",
        openapi_extra=described("Template", EXAMPLE),
    )
    async def put_template(name: str, request: Request, tenant_id: Tenant, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a template keeps its name; leave it out, or create another one")
        written = await put(tenant_id, name, body, if_match)
        return answer(written, etag=written.etag)

    @routes.post(
        "/templates/{name}/preview",
        summary="Render a template for a user, or for traits; nothing is sent",
        openapi_extra=described("Preview", {"locale": "de", "traits": {"name": "Ada"}}),
    )
    async def preview_template(name: str, request: Request, tenant_id: Tenant) -> Response:
        body = await read_as(request, PreviewBody)
        async with compiling:
            return answer(await preview(parts, tenant_id, name, body))

    return routes
