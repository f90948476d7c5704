"""The channels resource: which provider serves each channel. Secrets are accepted and never returned."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane import ChannelConfig
from cluster.control_plane.documents import ChannelDocument, channel_document
from cluster.times import iso
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import InvalidBodyError, answer, read_as, read_object
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.paging import Page
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.services.deliveries import USUAL_DAYS
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.provider_states import ChannelDoing
from whisperer.access.permissions import Permission
from whisperer.delivery.channels import parse_plan
from whisperer.delivery.listing import DeliveryState
from whisperer.delivery.plan import Account, Plan, Rates, WarmUp
from whisperer.delivery.providers import PROVIDERS
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import CHANNELS

EXAMPLE = {
    "provider": "smtp",
    "config": {"host": "mail.example.com", "tls": "starttls", "sender": "Ada <ada@example.com>"},
}


class ChannelBody(msgspec.Struct, forbid_unknown_fields=True):
    """A channel's provider; docs/delivery.md describes each provider's ``config``, and the rest."""

    provider: str
    config: dict[str, Any] = {}
    name: str = ""
    weight: int = 1
    rates: Rates | None = None
    warm_up: WarmUp | None = None
    failover: list[Account] = []

    @property
    def plan(self) -> Plan:
        """Return the rest of the channel."""
        return Plan(self.name, self.weight, self.rates, self.warm_up, tuple(self.failover))


SHOWN = {
    "channel": "email",
    **EXAMPLE,
    "callback_url": "https://whisperer.example.com/v1/callbacks/smtp/Zm9yZ2Vk",
    "name": "smtp",
    "weight": 1,
    "rates": None,
    "warm_up": None,
    "failover": [],
}
DOING = {
    "channel": "email",
    "replicas": 1,
    "accounts": [
        {
            "account": "smtp",
            "provider": "smtp",
            "weight": 1,
            "breaker": "open",
            "left_alone_s": 4.2,
            "times_opened": 1,
            "under_way": 0,
            "receipts": {"accepted": 1200, "retry": 5},
            "held": {"breaker": 64},
            "searches": {},
            "last_trouble": "no connection: the connection was refused",
            "breaker_since": "2026-01-31T09:00:00.000Z",
            "per_second": 50.0,
            "per_second_lately": 12.3,
            "warm_up": {"day": 3, "days": 10, "limit": 500, "given": 120},
            "taken_over": 0,
        }
    ],
}


class ChannelCounts(msgspec.Struct):
    """How many messages whose latest attempt was in the last ``days`` have each status of `GET /v1/deliveries`."""

    channel: str
    as_of: str | None
    days: int
    by_status: dict[str, int]


COUNTED = {
    "channel": "email",
    "as_of": "2026-01-31T09:00:00.000Z",
    "days": 30,
    "by_status": {"accepted": 12_000, "retrying": 3, "unknown": 2, "bounced": 40, "refused": 7, "dead": 5},
}
LIST = Listing(
    "channels",
    ChannelDocument,
    key="channel",
    sorts=("channel", "provider"),
    filters={"provider": of_words(PROVIDERS)},
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["channels"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.CHANNELS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.CHANNELS_WRITE))]

    def shown(request: Request, tenant_id: TenantId, channel: str, found: ChannelConfig) -> ChannelDocument:
        """Return a channel; its callback URL is a secret, which only those see who could replace it."""
        may_change = Permission.CHANNELS_WRITE in principal_of(request).permissions

        def url_of(provider: str) -> str | None:
            return parts.callbacks.url(tenant_id, channel, provider, found.callback_serial) if may_change else None

        return channel_document(channel, found, url_of)

    async def write(request: Request, tenant_id: TenantId, channel: str, body: ChannelBody) -> ChannelDocument:
        said = body.provider, body.config, body.plan
        written = await asyncio.to_thread(parts.plane.set_channel, tenant_id, channel, *said)
        return shown(request, tenant_id, channel, written)

    @routes.get(
        "/channels",
        summary="Every channel with its provider; the sink where nothing was said",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_channels(
        request: Request, tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]
    ) -> Response:
        found = await asyncio.to_thread(parts.plane.list_channels, tenant_id)
        return asked.page(tenant_id, [shown(request, tenant_id, *entry) for entry in found.items()])

    @routes.put(
        "/channels",
        summary="Set several channels at once, by name",
        openapi_extra=described("Channels", {"email": EXAMPLE, "sms": {"provider": "sink"}})
        | answered(Page[ChannelDocument], {"data": [SHOWN], "next_cursor": None}),
    )
    async def put_channels(request: Request, tenant_id: Writer) -> Response:
        bodies: dict[str, ChannelBody] = {}
        for channel, body in (await read_object(request)).items():
            try:
                bodies[channel] = asked = msgspec.convert(body, ChannelBody)
                # All of them, before any is written.
                parse_plan(channel, asked.provider, asked.config, asked.plan)
            except msgspec.ValidationError as error:
                raise InvalidBodyError(f"/{channel[:80]}", str(error)) from None
        return answer(Page([await write(request, tenant_id, *entry) for entry in bodies.items()], None))

    @routes.get("/channels/{channel}", summary="One channel's provider", openapi_extra=answered(ChannelDocument, SHOWN))
    async def get_channel(channel: str, request: Request, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.list_channels, tenant_id)
        if channel not in found:
            raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(found)}")
        return answer(shown(request, tenant_id, channel, found[channel]))

    @routes.get(
        "/channels/{channel}/state",
        summary="How the channel's provider accounts do: breakers, what is held, what became of attempts",
        openapi_extra=answered(ChannelDoing, DOING),
    )
    async def get_state(channel: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(parts.plane.list_channels, tenant_id)
        if channel not in found:
            raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(found)}")
        [doing] = await parts.provider_states.of(tenant_id, {channel: found[channel]})
        return answer(doing)

    @routes.get(
        "/channels/{channel}/deliveries",
        summary=f"How many of the channel's messages of {USUAL_DAYS} days are in each state; a moment behind",
        openapi_extra=answered(ChannelCounts, COUNTED),
    )
    async def get_counts(channel: str, tenant_id: Reader) -> Response:
        if channel not in CHANNELS:
            raise NotFoundError(f"there is no channel {channel[:80]!r}; channels are {', '.join(CHANNELS)}")
        found = await parts.deliveries.counts(tenant_id)
        by_state = found.by_channel.get(channel, {})
        by_status = {str(state): by_state.get(state, 0) for state in DeliveryState}
        return answer(ChannelCounts(channel, iso(found.as_of), USUAL_DAYS, by_status))

    @routes.put(
        "/channels/{channel}",
        summary="Set a channel's provider; `sink` brings it back",
        openapi_extra=described("Channel", EXAMPLE) | answered(ChannelDocument, SHOWN),
    )
    async def put_channel(channel: str, request: Request, tenant_id: Writer) -> Response:
        return answer(await write(request, tenant_id, channel, await read_as(request, ChannelBody)))

    @routes.post(
        "/channels/{channel}/callback/rotate",
        summary="Replace the channel's callback URL; the old one is void within a second",
        openapi_extra=answered(ChannelDocument, SHOWN),
    )
    async def rotate_callback(channel: str, request: Request, tenant_id: Writer) -> Response:
        replaced = await asyncio.to_thread(parts.plane.replace_callback_token, tenant_id, channel)
        return answer(shown(request, tenant_id, channel, replaced))

    return routes
