"""The campaigns resource: drafts, versions, statuses, and the report. docs/campaigns.md describes the body."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.exchange import (
    IfMatch,
    InvalidBodyError,
    TenantOf,
    answer,
    described,
    read_named,
    read_object,
    take_flag,
)
from serve_apps.gateway.http.paging import Cursor, Limit, Version, page
from serve_apps.gateway.services.parts import Parts
from whisperer.ids import TenantId
from whisperer.journeys.schema import EXAMPLE


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["campaigns"])
    Tenant = Annotated[TenantId, Depends(tenant_of)]  # noqa: N806  a type

    @routes.post(
        "/campaigns",
        summary="Create a campaign, as a draft or published at once",
        status_code=201,
        openapi_extra=described("NewCampaign", {"name": "trial-welcome", "publish": True, **EXAMPLE}),
    )
    async def create_campaign(request: Request, tenant_id: Tenant) -> Response:
        name, publish, definition = await read_named(request)
        made = await parts.campaigns.create(tenant_id, name, definition, publish)
        return answer(made, 201, etag=made.etag)

    @routes.get("/campaigns", summary="Campaigns with their counts, by name")
    async def list_campaigns(tenant_id: Tenant, limit: Limit = 100, cursor: Cursor = None) -> Response:
        return answer(page(await parts.campaigns.list(tenant_id), lambda c: c.name, limit, cursor))

    @routes.get("/campaigns/{name}", summary="One campaign: the version in force, or the one named")
    async def get_campaign(name: str, tenant_id: Tenant, version: Version = None) -> Response:
        found = await parts.campaigns.show(tenant_id, name, version)
        return answer(found, etag=found.etag)

    @routes.put(
        "/campaigns/{name}",
        summary="Write the draft: in place, or as the next version of what is published",
        openapi_extra=described("CampaignDraft", EXAMPLE),
    )
    async def put_campaign(name: str, request: Request, tenant_id: Tenant, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a campaign keeps its name; leave it out, or create another one")
        publish = take_flag(body, "publish")
        written = await parts.campaigns.put(tenant_id, name, body, publish, if_match)
        return answer(written, etag=written.etag)

    @routes.delete("/campaigns/{name}", summary="End a campaign; its versions and counts are kept")
    async def end_campaign(name: str, tenant_id: Tenant) -> Response:
        return answer(await parts.campaigns.turn(tenant_id, name, "end"))

    @routes.get("/campaigns/{name}/report", summary="What it did, and its lift over the holdout with an interval")
    async def report(name: str, tenant_id: Tenant) -> Response:
        return answer(await parts.campaigns.report(tenant_id, name))

    @routes.get("/campaigns/{name}/report/days", summary="Its lift by day, with intervals that may be looked at daily")
    async def report_days(name: str, tenant_id: Tenant) -> Response:
        return answer(await parts.lift_days.show(tenant_id, name))

    def turning(action: Literal["publish", "pause", "resume", "end"], summary: str) -> None:
        @routes.post(f"/campaigns/{{name}}/{action}", summary=summary, name=f"{action}_campaign")
        async def turn(name: str, tenant_id: Tenant) -> Response:
            turned = await parts.campaigns.turn(tenant_id, name, action)
            return answer(turned, etag=turned.etag)

    turning("publish", "Publish the draft: it is live, and never changes again")
    turning("pause", "Pause: nobody new is decided about")
    turning("resume", "Resume a paused campaign")
    turning("end", "End for good; versions and counts are kept")

    return routes
