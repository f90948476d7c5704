"""The decisions resource: a caller asks what to do about users now, or why a decision came out as it did."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import InvalidBodyError, answer, read_as
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.routes.examples import AUDIT, DECISION
from serve_apps.gateway.services.audit import Audit
from serve_apps.gateway.services.decisions import MAX_USERS, AskedDecision, UnknownUser
from serve_apps.gateway.services.explanations import Explanation
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import DecisionId, TenantId, new_id

MAX_OCCURRENCE = 200
EXPLANATION = {
    "decision_id": DECISION["decision_id"],
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


class AskedDecisions(msgspec.Struct):
    """An answer for each of several users, in the order in which they were named."""

    data: list[AskedDecision | UnknownUser]


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["decisions"])
    Asker = Annotated[TenantId, Depends(tenant_of(Permission.DECISIONS_ASK))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.DECISIONS_READ))]

    @routes.post(
        "/decisions",
        summary="Decide about one user or up to 1,000 now; what is chosen is sent",
        openapi_extra=described(
            "DecisionRequest", {"campaign": "trial-welcome", "user_id": "u-17", "occurrence": "order-1001"}
        )
        | answered(AskedDecision | AskedDecisions, DECISION),
    )
    async def decide(
        request: Request,
        tenant_id: Asker,
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
            return answer(AskedDecisions(made))
        if isinstance(made[0], UnknownUser):
            raise NotFoundError(f"there is no user {asked[0][:80]!r}", code="user_not_found")
        return answer(made[0])

    @routes.get(
        "/decisions/{decision_id}",
        summary="One decision's whole audit",
        openapi_extra=answered(Audit, AUDIT),
    )
    async def get_decision(decision_id: DecisionId, tenant_id: Reader) -> Response:
        return answer(await parts.decisions.show(tenant_id, DecisionId(decision_id)))

    @routes.get(
        "/decisions/{decision_id}/explanation",
        summary="What each feature added to the arm that was chosen",
        openapi_extra=answered(Explanation, EXPLANATION),
    )
    async def get_explanation(decision_id: DecisionId, tenant_id: Reader) -> Response:
        return answer(await parts.explanations.show(tenant_id, DecisionId(decision_id)))

    return routes
