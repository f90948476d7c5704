"""The sink resource: what the built-in provider received instead of a mail server, an SMS gateway or a phone."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cluster.control_plane.listing import After
from cluster.times import iso
from serve_apps.delivery.sink import Sink, SinkMessage
from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.listing import ANY, Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.errors import NotFoundError
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey, anonymous_key, bare_id, known_key
from whisperer.vocabulary.channels import CHANNELS, ChannelName

NEWEST = 2**63 - 1
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


LIST = Listing(
    "sink/messages",
    MessageDocument,
    key="serial",
    sorts=("received_at",),
    usual="-received_at",
    filters={"channel": of_words(CHANNELS), "user_id": ANY, "campaign": ANY},
    also=("channel", "user_id", "campaign", "after"),
    limit=50,
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["sink"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.MESSAGES_READ))]

    @routes.get(
        "/sink/messages",
        summary="What the sink received: newest first, or after a serial oldest first",
        openapi_extra=LIST.documented(EXAMPLE),
    )
    async def list_messages(
        tenant_id: Reader,
        asked: Annotated[Asked, Depends(LIST.asked)],
        channel: ChannelName | None = None,
        user_id: Annotated[str | None, Query(max_length=1_000)] = None,
        campaign: Annotated[str | None, Query(max_length=63)] = None,
        after: Annotated[int | None, Query(ge=0, le=NEWEST, description="oldest first, of serials above this")] = None,
    ) -> Response:
        by, edge = asked.filters, _edge(asked, after, asked.after(tenant_id))
        found = await asyncio.to_thread(
            of_user,
            parts.sink,
            tenant_id,
            user_id or by.get("user_id"),
            channel=channel or by.get("channel"),
            campaign=campaign or by.get("campaign"),
            limit=asked.limit,
            **edge,
        )
        more = After(str(found[-1].serial), *edge) if len(found) == asked.limit else None
        return asked.answer(tenant_id, [shown(m) for m in found], more)

    @routes.get(
        "/sink/messages/{send_key}",
        summary="One message by its send key",
        openapi_extra=answered(MessageDocument, EXAMPLE),
    )
    async def get_message(send_key: SendKey, tenant_id: Reader) -> Response:
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


def _edge(asked: Asked, after: int | None, cursor: After | None) -> dict[str, int]:
    """Return ``{"after": serial}`` or ``{"before": serial}``: a cursor continues in the direction it came from."""
    if cursor is not None:
        return {str(cursor.value): int(cursor.key)}
    if after is None and asked.descends:
        return {"before": NEWEST}
    return {"after": after or 0}
