"""The sink resource: what the built-in provider received instead of a mail server, an SMS gateway or a phone."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cluster.times import iso
from serve_apps.delivery.sink import Sink, SinkMessage
from serve_apps.gateway.http.exchange import TenantOf, answer, answered
from serve_apps.gateway.http.paging import Limit
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import NotFoundError
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey, anonymous_key, bare_id, known_key
from whisperer.vocabulary.channels import ChannelName

NEWEST = 2**63 - 1
SinkCursor = Annotated[
    str | None, Query(pattern=r"^(after|before)-[0-9]{1,19}$", description="next_cursor of the page before")
]
EXAMPLE = {
    "serial": 12,
    "send_key": "snd_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "decision_id": "dec_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "channel": "email",
    "user_id": "u-17",
    "user_key": "u:u-17",
    "address": "ada@example.com",
    "campaign": "trial-welcome",
    "locale": "en",
    "parts": {"subject": "Hello Ada", "text": "Three tips to begin with"},
    "headers": {"List-Unsubscribe": "<https://app.example.com/m/u/...>"},
    "content_hash": "9f2c",
    "received_at": "2026-01-31T09:00:00.000Z",
    "n_received": 1,
}


class MessageDocument(msgspec.Struct, kw_only=True):
    """One message as the sink received it; ``n_received``: how often its send key was presented."""

    serial: int
    send_key: SendKey
    decision_id: DecisionId
    channel: str
    user_id: str
    user_key: UserKey
    address: str
    campaign: str
    locale: str
    parts: dict[str, str]
    headers: dict[str, str]
    content_hash: str
    received_at: str | None
    n_received: int


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["sink"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.get(
        "/sink/messages",
        summary="What the sink received: newest first, or after a serial oldest first",
        openapi_extra=answered({"data": [EXAMPLE], "next_cursor": None}),
    )
    async def list_messages(
        tenant_id: Tenant,
        channel: ChannelName | None = None,
        user_id: Annotated[str | None, Query(max_length=1_000)] = None,
        campaign: Annotated[str | None, Query(max_length=63)] = None,
        after: Annotated[int | None, Query(ge=0, le=NEWEST, description="oldest first, of serials above this")] = None,
        limit: Limit = 50,
        cursor: SinkCursor = None,
    ) -> Response:
        edges = _edges(after, cursor)
        found = await asyncio.to_thread(
            of_user, parts.sink, tenant_id, user_id, channel=channel, campaign=campaign, limit=limit, **edges
        )
        more = f"{next(iter(edges))}-{found[-1].serial}" if len(found) == limit else None
        return answer({"data": [shown(m) for m in found], "next_cursor": more})

    @routes.get("/sink/messages/{send_key}", summary="One message by its send key", openapi_extra=answered(EXAMPLE))
    async def get_message(send_key: SendKey, tenant_id: Tenant) -> Response:
        found = await asyncio.to_thread(parts.sink.message, tenant_id, SendKey(send_key))
        if found is None:
            raise NotFoundError(f"the sink has no message {send_key[:80]!r}", code="message_not_found")
        return answer(shown(found))

    return routes


def of_user(sink: Sink, tenant_id: TenantId, user_id: str | None, **wanted: Any) -> list[SinkMessage]:
    """Return messages to a user by the caller's id, first as a userId, then as an anonymousId; None: to everyone."""
    found: list[SinkMessage] = []
    for user_key in [None] if user_id is None else [known_key(user_id), anonymous_key(user_id)]:
        found = sink.messages(tenant_id, user_key=user_key, **wanted)
        if found:
            break
    return found


def shown(message: SinkMessage) -> MessageDocument:
    """Return a message as callers see it."""
    return MessageDocument(
        serial=message.serial,
        send_key=message.send_key,
        decision_id=message.decision_id,
        channel=message.channel,
        user_id=bare_id(message.user_key),
        user_key=message.user_key,
        address=message.address,
        campaign=message.campaign,
        locale=message.locale,
        parts=message.parts,
        headers=message.headers,
        content_hash=message.content_hash,
        received_at=iso(message.received_at),
        n_received=message.n_received,
    )


def _edges(after: int | None, cursor: str | None) -> dict[str, int]:
    """Return ``{"after": serial}`` or ``{"before": serial}``: a cursor continues in the direction it came from."""
    if cursor is None:
        return {"before": NEWEST} if after is None else {"after": after}
    direction, _, serial = cursor.partition("-")
    return {direction: min(int(serial), NEWEST)}
