"""The deliveries resource: what became of each message, dead letters among them."""

import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.listing import After
from cluster.times import iso
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import ANY, Asked, Filter, Listing, of_words
from serve_apps.gateway.http.paging import decode, encode
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.routes.examples import AT
from serve_apps.gateway.services.audit import PSEUDONYM, sentence
from serve_apps.gateway.services.deliveries import USUAL_DAYS
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.delivery.listing import DeliveryEntry, DeliveryQuery, DeliveryState
from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import SendKey, TenantId, bare_id
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS

MOST_REPLAYED = 1_000

_Name = Annotated[str, msgspec.Meta(max_length=100)]


class DeliveryDocument(msgspec.Struct, kw_only=True):
    """What became of one message. ``at`` is its latest attempt; ``reason`` says why it ended unsent."""

    id: str
    decision_id: str
    user_key: str
    user_id: str | None
    campaign: str
    channel: str
    status: str
    reason: str | None
    reason_text: str | None
    provider: str | None
    provider_id: str | None
    detail: str | None
    locale: str | None
    attempts: int
    first_at: str | None
    at: str | None


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters: all that agree. ``cursor`` goes on where the call before ended."""

    channel: _Name | None = None
    campaign: _Name | None = None
    provider: _Name | None = None
    since: _Name | None = None
    until: _Name | None = None
    cursor: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class ReplayDocument(msgspec.Struct, kw_only=True):
    """How many are sent again, how many are not and why, and where to go on (null: that was all)."""

    n_replayed: int
    refused: dict[str, int]
    next_cursor: str | None


REPLAYED = {"n_replayed": 42, "refused": {"settled": 3}, "next_cursor": None}
EXAMPLE = {
    "id": "snd_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "decision_id": "dec_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "user_key": "u:u-17",
    "user_id": "u-17",
    "campaign": "trial-welcome",
    "channel": "email",
    "status": "dead",
    "reason": "delivery_expired",
    "reason_text": "every attempt failed",
    "provider": "smtp",
    "provider_id": None,
    "detail": "the server answered 451 4.3.0 to the recipient",
    "locale": "de",
    "attempts": 9,
    "first_at": "2026-01-31T09:00:00.000Z",
    "at": "2026-02-01T09:10:00.000Z",
}
LIST = Listing(
    "deliveries",
    DeliveryDocument,
    key="id",
    sorts=("at",),
    usual="-at",
    filters={
        "status": of_words(DeliveryState, "exactly this status; dead: the dead letters", is_bare=True),
        "channel": of_words(CHANNELS, "exactly this channel", is_bare=True),
        "campaign": ANY,
        "provider": ANY,
        "since": Filter(about=f"ISO 8601; {USUAL_DAYS} days ago if nothing is said", is_moment=True),
        "until": Filter(about="ISO 8601; now if nothing is said", is_moment=True),
    },
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["deliveries"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.MESSAGES_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.MESSAGES_WRITE))]

    @routes.get(
        "/deliveries",
        summary="What became of each message, latest attempt first; a moment behind",
        openapi_extra=LIST.documented(EXAMPLE),
    )
    async def list_deliveries(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await parts.deliveries.page(tenant_id, _query(asked, tenant_id))
        shown = found[: asked.limit]
        last = After(shown[-1].send_key, shown[-1].at) if len(found) > asked.limit else None
        return asked.answer(tenant_id, [delivery_document(one) for one in shown], last)

    @routes.post(
        "/deliveries/{delivery_id}/replay",
        summary="Send a dead letter again, under the same key",
        status_code=202,
        openapi_extra=answered(DeliveryDocument, EXAMPLE, status=202),
    )
    async def replay(delivery_id: str, tenant_id: Writer) -> Response:
        found = await parts.deliveries.replay(tenant_id, SendKey(delivery_id), time.time_ns() // 1_000_000)
        return answer(delivery_document(found), 202)

    @routes.post(
        "/deliveries/replay",
        summary=f"Send dead letters again, up to {MOST_REPLAYED:,} of those that a filter names",
        openapi_extra=described("ReplayRequest", {"channel": "email", "since": AT}, required=False)
        | answered(ReplayDocument, REPLAYED),
    )
    async def replay_all(request: Request, tenant_id: Writer) -> Response:
        wanted = await read_as(request, ReplayBody, {})
        made = await parts.deliveries.replay_all(tenant_id, _of_body(wanted))
        cursor = None if made.last is None else encode(msgspec.json.encode(made.last).decode())
        return answer(ReplayDocument(n_replayed=made.n_replayed, refused=made.refused, next_cursor=cursor))

    return routes


def _query(asked: Asked, tenant_id: TenantId) -> DeliveryQuery:
    by, after = asked.filters, asked.after(tenant_id)
    until = _moment("until", by.get("until"), time.time_ns() // 1_000_000 + 1)
    return DeliveryQuery(
        since=_moment("since", by.get("since"), until - USUAL_DAYS * DAY_MS),
        until=until,
        state=by.get("status"),
        channel=by.get("channel"),
        campaign=by.get("campaign"),
        provider=by.get("provider"),
        limit=asked.limit + 1,
        after=None if after is None else (int(after.value or 0), after.key),
        descends=asked.descends,
    )


def _of_body(wanted: ReplayBody) -> DeliveryQuery:
    until = _moment("until", wanted.until, time.time_ns() // 1_000_000 + 1)
    after = None
    if wanted.cursor is not None:
        try:
            after = msgspec.json.decode(decode(wanted.cursor), type=tuple[int, str])
        except (msgspec.MsgspecError, UnicodeError):
            raise RequestError("this cursor is none that was given here", code="invalid_cursor") from None
    return DeliveryQuery(
        since=_moment("since", wanted.since, until - USUAL_DAYS * DAY_MS),
        until=until,
        state=DeliveryState.DEAD,
        channel=wanted.channel,
        campaign=wanted.campaign,
        provider=wanted.provider,
        limit=MOST_REPLAYED,
        after=after,
        descends=False,
    )


def _moment(name: str, text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    found = instant(text)
    if found is None:
        raise RequestError(f"filter[{name}] must be an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text[:80]!r}")
    return found


def delivery_document(one: DeliveryEntry) -> DeliveryDocument:
    """Return an entry for callers."""
    is_known = not one.user_key.startswith(PSEUDONYM)
    return DeliveryDocument(
        id=one.send_key,
        decision_id=one.decision_id,
        user_key=one.user_key,
        user_id=bare_id(one.user_key) if is_known else None,
        campaign=one.campaign,
        channel=one.channel,
        status=one.state,
        reason=one.reason or None,
        reason_text=sentence(one.reason) if one.reason else None,
        provider=one.provider or None,
        provider_id=one.provider_id or None,
        detail=one.detail or None,
        locale=one.locale or None,
        attempts=one.n_attempts,
        first_at=iso(one.first_at),
        at=iso(one.at),
    )
