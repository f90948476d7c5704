"""The decisions resource: a caller asks what to do about users now, or why a decision came out as it did."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from serve_apps.gateway.http.exchange import InvalidBodyError, TenantOf, answer, answered, described, read_as
from serve_apps.gateway.services.decisions import MAX_USERS, UnknownUser
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import DecisionId, TenantId, new_id

MAX_OCCURRENCE = 200
EXAMPLE = {
    "decision_id": "dec_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "user_id": "u-17",
    "campaign": "trial-welcome",
    "campaign_version": 1,
    "status": "sending",
    "reason": None,
    "refused_arms": {"nudge": "no_address"},
    "group": "policy",
    "arm": "tips",
    "propensity": 0.61,
    "policy_version": "trial-welcome@42",
    "occurrence": "order-1001",
    "at": "2026-01-31T09:00:00.000Z",
}

EXPLANATION = {
    "decision_id": EXAMPLE["decision_id"],
    "policy_version": "trial-welcome@42+trial-welcome@3",
    "arm": "tips",
    "over": "no_send",
    "model": {
        "version": "trial-welcome@3",
        "effect": 0.21,
        "contributions": {"recency_days": 0.25, "the arm itself": -0.03, "events_30d": -0.01},
    },
    "linear": {"version": "trial-welcome@45", "effect": 0.19, "contributions": {"model_score": 0.2, "one": -0.01}},
}

_UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]


class DecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either ``user_id`` or ``user_ids``. The same ``occurrence`` is the same decision, however often it is asked."""

    campaign: Annotated[str, msgspec.Meta(max_length=63)]
    user_id: _UserId | None = None
    user_ids: Annotated[list[_UserId], msgspec.Meta(min_length=1, max_length=MAX_USERS)] | None = None
    occurrence: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_OCCURRENCE)] | None = None


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["decisions"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.post(
        "/decisions",
        summary="Decide about one user or up to 1,000 now; what is chosen is sent",
        openapi_extra=described(
            "DecisionRequest", {"campaign": "trial-welcome", "user_id": "u-17", "occurrence": "order-1001"}, EXAMPLE
        ),
    )
    async def decide(
        request: Request,
        tenant_id: Tenant,
        idempotency_key: Annotated[
            str | None,
            Header(pattern=rf"^[ -~]{{1,{MAX_OCCURRENCE}}}$", description="the occurrence, if the body has none"),
        ] = None,
    ) -> Response:
        body = await read_as(request, DecisionBody)
        if (body.user_id is None) == (body.user_ids is None):
            raise InvalidBodyError("", "say who, by one of user_id and user_ids")
        if not await parts.campaigns.running(tenant_id, body.campaign):
            raise ConflictError(f"campaign {body.campaign!r} is neither live nor paused", code="campaign_not_live")
        occurrence = body.occurrence or idempotency_key or new_id("occ")
        asked: list[str] = [body.user_id] if body.user_id is not None else body.user_ids or []
        made = await parts.decisions.ask(tenant_id, body.campaign, asked, occurrence)
        if body.user_ids is not None:
            return answer({"data": made})
        if isinstance(made[0], UnknownUser):
            raise NotFoundError(f"there is no user {asked[0][:80]!r}", code="user_not_found")
        return answer(made[0])

    @routes.get(
        "/decisions/{decision_id}",
        summary="One decision's whole audit",
        openapi_extra=answered(EXAMPLE | {"arms": ["no_send", "tips"], "propensities": [0.39, 0.61]}),
    )
    async def get_decision(decision_id: DecisionId, tenant_id: Tenant) -> Response:
        return answer(await parts.decisions.show(tenant_id, DecisionId(decision_id)))

    @routes.get(
        "/decisions/{decision_id}/explanation",
        summary="What each feature added to the arm that was chosen",
        openapi_extra=answered(EXPLANATION),
    )
    async def get_explanation(decision_id: DecisionId, tenant_id: Tenant) -> Response:
        return answer(await parts.explanations.show(tenant_id, DecisionId(decision_id)))

    return routes
