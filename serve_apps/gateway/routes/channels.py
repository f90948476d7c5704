"""The channels resource: which provider serves each channel. Secrets are accepted and never returned."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.documents import ChannelDocument, channel_document
from serve_apps.gateway.http.exchange import InvalidBodyError, TenantOf, answer, described, read_as, read_object
from serve_apps.gateway.services.parts import Parts
from whisperer.delivery.channels import parse_channel
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId

EXAMPLE = {
    "provider": "smtp",
    "config": {"host": "mail.example.com", "tls": "starttls", "sender": "Ada <ada@example.com>"},
}


class ChannelBody(msgspec.Struct, forbid_unknown_fields=True):
    """A channel's provider; docs/delivery.md describes each provider's ``config``."""

    provider: str
    config: dict[str, Any] = {}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["channels"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    async def write(tenant_id: TenantId, channel: str, body: ChannelBody) -> ChannelDocument:
        written = await asyncio.to_thread(parts.plane.set_channel, tenant_id, channel, body.provider, body.config)
        return channel_document(channel, written)

    @routes.get("/channels", summary="Every channel with its provider; the sink where nothing was said")
    async def list_channels(tenant_id: Tenant) -> Response:
        found = await asyncio.to_thread(parts.plane.list_channels, tenant_id)
        return answer({"data": [channel_document(*entry) for entry in found.items()], "next_cursor": None})

    @routes.put(
        "/channels",
        summary="Set several channels at once, by name",
        openapi_extra=described("Channels", {"email": EXAMPLE, "sms": {"provider": "sink"}}),
    )
    async def put_channels(request: Request, tenant_id: Tenant) -> Response:
        bodies: dict[str, ChannelBody] = {}
        for channel, body in (await read_object(request)).items():
            try:
                bodies[channel] = asked = msgspec.convert(body, ChannelBody)
                parse_channel(channel, asked.provider, asked.config)  # all of them, before any is written
            except msgspec.ValidationError as error:
                raise InvalidBodyError(f"/{channel[:80]}", str(error)) from None
        return answer({"data": [await write(tenant_id, *entry) for entry in bodies.items()], "next_cursor": None})

    @routes.get("/channels/{channel}", summary="One channel's provider")
    async def get_channel(channel: str, tenant_id: Tenant) -> Response:
        found = await asyncio.to_thread(parts.plane.list_channels, tenant_id)
        if channel not in found:
            raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(found)}")
        return answer(channel_document(channel, found[channel]))

    @routes.put(
        "/channels/{channel}",
        summary="Set a channel's provider; `sink` brings it back",
        openapi_extra=described("Channel", EXAMPLE),
    )
    async def put_channel(channel: str, request: Request, tenant_id: Tenant) -> Response:
        return answer(await write(tenant_id, channel, await read_as(request, ChannelBody)))

    return routes
