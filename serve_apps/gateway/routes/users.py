"""The users resource: one person's state, export, erasure and consent."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from serve_apps.gateway.http.exchange import TenantOf, answer, described, read_as, streamed
from serve_apps.gateway.services.parts import Parts
from whisperer.eligibility.rules import MARKETING
from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import ChannelName

CONSENT_EXAMPLE = {"channel": "email", "purpose": "marketing", "granted": False, "source": "preference centre"}

_Purpose = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62}|\*)$")]


class ConsentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A user's statement about one channel and purpose; ``*`` means all of them."""

    channel: Literal[ChannelName, "*"]
    granted: bool
    purpose: _Purpose = MARKETING
    source: Annotated[str, msgspec.Meta(max_length=200)] = "api"


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["users"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.get("/users/{user_id:id}/export", summary="Everything held on a user")
    async def export_user(user_id: str, tenant_id: Tenant) -> Response:
        return await streamed(parts.users.export(tenant_id, user_id))

    @routes.post(
        "/users/{user_id:id}/consent",
        summary="Record that a user agreed, or withdrew",
        openapi_extra=described("Consent", CONSENT_EXAMPLE, {"user_id": "u-17", **CONSENT_EXAMPLE}),
    )
    async def state_consent(user_id: str, request: Request, tenant_id: Tenant) -> Response:
        body = await read_as(request, ConsentBody)
        return answer(
            await parts.users.state_consent(tenant_id, user_id, body.channel, body.purpose, body.granted, body.source)
        )

    @routes.get("/users/{user_id:id}", summary="One user: traits, features, segments, timeline, decisions, consent")
    async def get_user(
        user_id: str,
        tenant_id: Tenant,
        as_of: Annotated[
            str | None, Query(description="ISO 8601; features as of then", json_schema_extra={"format": "date-time"})
        ] = None,
        timeline: Annotated[
            Literal["recent", "full"], Query(description="full: what was sent, also of old events")
        ] = "recent",
    ) -> Response:
        full = timeline == "full"
        return answer(await parts.users.show(tenant_id, user_id, _moment(as_of), full_timeline=full))

    @routes.delete("/users/{user_id:id}", summary="Erase a user for good")
    async def erase_user(user_id: str, tenant_id: Tenant) -> Response:
        return answer(await parts.users.erase(tenant_id, user_id))

    return routes


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise RequestError(f"as_of must be an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text[:80]!r}")
    return found
