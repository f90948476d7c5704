"""The generator: which OpenAI-compatible endpoint writes a tenant's texts. Its key is accepted and never returned."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import GeneratorDocument, generator_document
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, read_object
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.content.generation.settings import HIDDEN
from whisperer.ids import TenantId

EXAMPLE = {
    "base_url": "https://llm.example.com/v1",
    "model": "small-writer",
    "requests_per_minute": 120,
    "tokens_per_day": 2_000_000,
    "at_send_time": True,
    "voice": "Friendly and brief, never pushy.",
    "banned_claims": ["best in the world"],
    "allowed_hosts": ["app.example.com"],
}
SHOWN = {**EXAMPLE, "api_key": HIDDEN, "changed_at": "2026-01-31T09:00:00.000Z"}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["settings"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.SETTINGS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.SETTINGS_WRITE))]

    @routes.get(
        "/settings/generator",
        summary="The generator that writes texts, without its key",
        openapi_extra=answered(GeneratorDocument, SHOWN),
    )
    async def get_generator(tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.tenant_generator, tenant_id)
        return answer(generator_document(found), etag=found.etag)

    @routes.put(
        "/settings/generator",
        summary="Set the generator; a key that is left out stays",
        openapi_extra=described("Generator", EXAMPLE) | answered(GeneratorDocument, SHOWN),
    )
    async def put_generator(request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        changed = await asyncio.to_thread(lambda: parts.plane.set_generator(tenant_id, body, if_match=if_match))
        return answer(generator_document(changed), etag=changed.etag)

    @routes.delete(
        "/settings/generator",
        summary="Forget the generator and its key",
        openapi_extra=answered(GeneratorDocument, SHOWN),
    )
    async def delete_generator(tenant_id: Writer, if_match: IfMatch = None) -> Response:
        gone = await asyncio.to_thread(lambda: parts.plane.delete_generator(tenant_id, if_match=if_match))
        return answer(generator_document(gone))

    return routes
