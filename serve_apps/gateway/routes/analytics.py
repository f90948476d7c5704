"""Questions about what users did: trends, funnels, retention. docs/analytics.md describes them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import read_as
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.analytics.answers import FunnelAnswer, LifecycleAnswer, RetentionAnswer, StickinessAnswer, TrendsAnswer
from whisperer.analytics.questions import Funnel, Lifecycle, Question, Retention, Stickiness, Trends
from whisperer.ids import TenantId

_ANSWERED = {
    "as_of": "2026-01-31T09:00:00.000Z",
    "period": {
        "since": "2026-01-29T23:00:00.000Z",
        "until": "2026-01-31T09:00:00.001Z",
        "time_zone": "Europe/Berlin",
    },
}
TRENDS = {
    "series": [{"event": "Order Completed", "measure": "users"}],
    "last_days": 2,
    "time_zone": "Europe/Berlin",
    "breakdown": {"property": "plan", "limit": 1},
}
TRENDS_ANSWER = {
    "kind": "trends",
    **_ANSWERED,
    "interval": "day",
    "buckets": ["2026-01-30", "2026-01-31"],
    "series": [
        {
            "event": "Order Completed",
            "measure": "users",
            "property": None,
            "lines": [
                {"value": "pro", "is_other": False, "total": 19, "values": [12, 9]},
                {"value": None, "is_other": True, "total": 4, "values": [3, 1]},
            ],
        }
    ],
    "previous": None,
}
FUNNEL = {
    "steps": [
        {"event": "Product Viewed"},
        {"event": "Product Added", "where": {"property": "price", "op": "gte", "value": 10}},
        {"event": "Order Completed"},
    ],
    "window_s": 604_800,
    "last_days": 2,
    "time_zone": "Europe/Berlin",
}
FUNNEL_ANSWER = {
    "kind": "funnel",
    **_ANSWERED,
    "order": "ordered",
    "window_s": 604_800,
    "steps": [
        {
            "event": "Product Viewed",
            "users": 40,
            "of_first": 1.0,
            "of_previous": 1.0,
            "median_s": 0.0,
            "p90_s": 0.0,
        },
        {
            "event": "Product Added",
            "users": 20,
            "of_first": 0.5,
            "of_previous": 0.5,
            "median_s": 61.2,
            "p90_s": 340.0,
        },
        {
            "event": "Order Completed",
            "users": 5,
            "of_first": 0.125,
            "of_previous": 0.25,
            "median_s": 402.5,
            "p90_s": 1260.0,
        },
    ],
    "lines": [],
}
RETENTION = {
    "start": {"event": "Signed Up"},
    "return": {"event": "Order Completed"},
    "interval": "day",
    "periods": 1,
    "last_days": 2,
    "time_zone": "Europe/Berlin",
}
RETENTION_ANSWER = {
    "kind": "retention",
    **_ANSWERED,
    "type": "first_time",
    "interval": "day",
    "cohorts": [
        {"start": "2026-01-30", "users": 50, "returned": [20, 10]},
        {"start": "2026-01-31", "users": 30, "returned": [9, None]},
    ],
    "total": {"users": [80, 50], "returned": [29, 10], "shares": [0.3625, 0.2]},
}


LIFECYCLE = {"interval": "week", "last_days": 2, "time_zone": "Europe/Berlin"}
LIFECYCLE_ANSWER = {
    "kind": "lifecycle",
    **_ANSWERED,
    "interval": "week",
    "buckets": [{"start": "2026-01-26", "new": 40, "returning": 310, "resurrecting": 12, "dormant": 25}],
}
STICKINESS = {"of": {"event": "Order Completed"}, "last_days": 2, "time_zone": "Europe/Berlin"}
STICKINESS_ANSWER = {
    "kind": "stickiness",
    **_ANSWERED,
    "interval": "day",
    "users_by_count": [120, 40],
    "active": [
        {"day": "2026-01-30", "daily": 90, "weekly": 340, "monthly": 900, "stickiness": 0.1},
        {"day": "2026-01-31", "daily": 110, "weekly": 352, "monthly": 880, "stickiness": 0.125},
    ],
}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["analytics"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.REPORTS_READ))]

    async def answer(tenant_id: TenantId, question: Question) -> Response:
        found = await parts.analytics.answer(tenant_id, question)
        return Response(found, headers={"Cache-Control": "no-store"}, media_type="application/json")

    @routes.post(
        "/analytics/trends",
        summary="How much there was, by hour, day, week or month",
        openapi_extra=described("TrendsQuestion", TRENDS) | answered(TrendsAnswer, TRENDS_ANSWER),
    )
    async def ask_trends(request: Request, tenant_id: Reader) -> Response:
        return await answer(tenant_id, await read_as(request, Trends))

    @routes.post(
        "/analytics/funnels",
        summary="How many users went from step to step, and how long it took them",
        openapi_extra=described("FunnelQuestion", FUNNEL) | answered(FunnelAnswer, FUNNEL_ANSWER),
    )
    async def ask_funnel(request: Request, tenant_id: Reader) -> Response:
        return await answer(tenant_id, await read_as(request, Funnel))

    @routes.post(
        "/analytics/retention",
        summary="How many users came back, by the time since they began",
        openapi_extra=described("RetentionQuestion", RETENTION) | answered(RetentionAnswer, RETENTION_ANSWER),
    )
    async def ask_retention(request: Request, tenant_id: Reader) -> Response:
        return await answer(tenant_id, await read_as(request, Retention))

    @routes.post(
        "/analytics/lifecycle",
        summary="How many users are new, stay, come back and leave",
        openapi_extra=described("LifecycleQuestion", LIFECYCLE) | answered(LifecycleAnswer, LIFECYCLE_ANSWER),
    )
    async def ask_lifecycle(request: Request, tenant_id: Reader) -> Response:
        return await answer(tenant_id, await read_as(request, Lifecycle))

    @routes.post(
        "/analytics/stickiness",
        summary="How often users are active, and how many are in a day, a week and a month",
        openapi_extra=described("StickinessQuestion", STICKINESS) | answered(StickinessAnswer, STICKINESS_ANSWER),
    )
    async def ask_stickiness(request: Request, tenant_id: Reader) -> Response:
        return await answer(tenant_id, await read_as(request, Stickiness))

    return routes
