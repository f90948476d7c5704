"""The reviews resource: what was submitted, how it differs from what is live, and the decision of somebody else."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.drafts import Kind, ReviewDocument, ReviewedDocument, ReviewState
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import ANY, Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.routes.examples import DIFFERENCE
from serve_apps.gateway.routes.examples import REVIEW as EXAMPLE
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

MAX_REASON = 1_000


class ReviewDecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why; kept with the review."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] = ""


LIST = Listing(
    "reviews",
    ReviewDocument,
    key="id",
    sorts=("requested_at",),
    usual="-requested_at",
    filters={"state": of_words(ReviewState), "kind": of_words(Kind), "name": ANY},
)
REVIEWED = EXAMPLE | {
    "content": {"channel": "email", "locales": {"en": {"subject": "Hello", "text": "Three tips"}}},
    "diff": DIFFERENCE | {"to": "review"},
}
_DECIDED = EXAMPLE | {"decided_by": "grace@example.com", "decided_at": "2026-01-31T10:00:00.000Z"}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["reviews"])
    plane = parts.plane
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.REVIEWS_READ))]
    Reviewer = Annotated[TenantId, Depends(tenant_of(Permission.REVIEWS_WRITE))]

    @routes.get("/reviews", summary="Reviews, newest first", openapi_extra=LIST.documented(EXAMPLE))
    async def list_reviews(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        by, where = asked.filters, asked.place(tenant_id)
        read = partial(plane.page_of_reviews, tenant_id, where, state=by.get("state"), kind=by.get("kind"))
        found = await asyncio.to_thread(partial(read, name=by.get("name")))
        return asked.answer(tenant_id, found.items, found.last)

    @routes.get(
        "/reviews/{review_id}",
        summary="One review, with what was submitted and how it differs",
        openapi_extra=answered(ReviewedDocument, REVIEWED),
    )
    async def get_review(review_id: str, tenant_id: Reader) -> Response:
        return answer(await asyncio.to_thread(plane.get_review, tenant_id, review_id))

    async def decided(
        request: Request, tenant_id: TenantId, review_id: str, decide: Callable[..., ReviewDocument]
    ) -> Response:
        body = await read_as(request, ReviewDecisionBody, {})
        return answer(await asyncio.to_thread(partial(decide, tenant_id, review_id, reason=body.reason)))

    def body(reason: str, state: str) -> dict[str, object]:
        decision = described("ReviewDecision", {"reason": reason}, required=False)
        return decision | answered(ReviewDocument, _DECIDED | {"state": state, "reason": reason})

    @routes.post(
        "/reviews/{review_id}/approve",
        summary="Let the draft go live; not by who submitted it",
        openapi_extra=body("reads well", "approved"),
    )
    async def approve(review_id: str, request: Request, tenant_id: Reviewer) -> Response:
        return await decided(request, tenant_id, review_id, plane.approve_review)

    @routes.post(
        "/reviews/{review_id}/reject",
        summary="Refuse the draft; not by who submitted it",
        openapi_extra=body("the link leads nowhere", "rejected"),
    )
    async def reject(review_id: str, request: Request, tenant_id: Reviewer) -> Response:
        return await decided(request, tenant_id, review_id, plane.reject_review)

    @routes.post(
        "/reviews/{review_id}/withdraw",
        summary="End a review without a decision; by who submitted it, or with reviews:write",
        openapi_extra=body("more to come", "withdrawn"),
    )
    async def withdraw(review_id: str, request: Request, tenant_id: Reader) -> Response:
        others = Permission.REVIEWS_WRITE in principal_of(request).permissions
        return await decided(request, tenant_id, review_id, partial(plane.withdraw_review, others=others))

    return routes
