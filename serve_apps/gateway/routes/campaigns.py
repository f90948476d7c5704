"""The campaigns resource: drafts, versions, statuses, and the report. docs/campaigns.md describes the body."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.documents import CampaignDocument
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, InvalidBodyError, answer, made_at, read_object, take_flag
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.paging import Version
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.routes.examples import CAMPAIGN as SHOWN
from serve_apps.gateway.routes.examples import LIFT_DAYS, QUALITY, REPORT
from serve_apps.gateway.services.campaign_quality import CampaignQualityDocument
from serve_apps.gateway.services.creating import create_campaign, take_name
from serve_apps.gateway.services.lift_days import LiftDaysDocument
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.report import Report
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.journeys.campaign import CampaignStatus
from whisperer.journeys.schema import EXAMPLE

LIST = Listing(
    "campaigns",
    CampaignDocument,
    sorts=("name", "created_at", "published_at", "changed_at", "status"),
    filters={"status": of_words(CampaignStatus)},
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["campaigns"])
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.CAMPAIGNS_WRITE))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.CAMPAIGNS_READ))]
    Publisher = Annotated[TenantId, Depends(tenant_of(Permission.CAMPAIGNS_PUBLISH))]
    ReportReader = Annotated[TenantId, Depends(tenant_of(Permission.REPORTS_READ))]

    @routes.post(
        "/campaigns",
        name="create_campaign",
        summary="Create a campaign, as a draft or published at once",
        status_code=201,
        openapi_extra=described("NewCampaign", {"name": "trial-welcome", "publish": True, **EXAMPLE})
        | answered(CampaignDocument, SHOWN, 201),
    )
    async def create(request: Request, tenant_id: Writer) -> Response:
        body = await read_object(request)
        name = take_name(body)
        made = await create_campaign(parts, principal_of(request), name, body)
        return made_at(request, made, name, etag=made.etag)

    @routes.get("/campaigns", summary="Campaigns with their counts, by name", openapi_extra=LIST.documented(SHOWN))
    async def list_campaigns(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, await parts.campaigns.list(tenant_id))

    @routes.get(
        "/campaigns/{name}",
        summary="One campaign: the version in force, or the one named",
        openapi_extra=answered(CampaignDocument, SHOWN),
    )
    async def get_campaign(name: str, tenant_id: Reader, version: Version = None) -> Response:
        found = await parts.campaigns.show(tenant_id, name, version)
        return answer(found, etag=found.etag)

    @routes.put(
        "/campaigns/{name}",
        summary="Write the draft: in place, or as the next version of what is published",
        openapi_extra=described("CampaignDraft", EXAMPLE) | answered(CampaignDocument, SHOWN),
    )
    async def put_campaign(name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a campaign keeps its name; leave it out, or create another one")
        if publish := take_flag(body, "publish"):
            principal_of(request).require(Permission.CAMPAIGNS_PUBLISH)
        written = await parts.campaigns.put(tenant_id, name, body, publish, if_match)
        return answer(written, etag=written.etag)

    @routes.delete(
        "/campaigns/{name}",
        summary="End a campaign; its versions and counts are kept",
        openapi_extra=answered(CampaignDocument, SHOWN | {"status": "ended"}),
    )
    async def end_campaign(name: str, tenant_id: Publisher) -> Response:
        return answer(await parts.campaigns.turn(tenant_id, name, "end"))

    @routes.get(
        "/campaigns/{name}/report",
        summary="What it did, and its lift over the holdout with an interval",
        openapi_extra=answered(Report, REPORT),
    )
    async def report(name: str, tenant_id: ReportReader) -> Response:
        return answer(await parts.campaigns.report(tenant_id, name))

    @routes.get(
        "/campaigns/{name}/report/days",
        summary="Its lift by day, with intervals that may be looked at daily",
        openapi_extra=answered(LiftDaysDocument, LIFT_DAYS),
    )
    async def report_days(name: str, tenant_id: ReportReader) -> Response:
        return answer(await parts.lift_days.show(tenant_id, name))

    @routes.get(
        "/campaigns/{name}/report/quality",
        summary="How good its messages were, by arm and language, and which criteria cost most",
        openapi_extra=answered(CampaignQualityDocument, QUALITY),
    )
    async def report_quality(name: str, tenant_id: ReportReader) -> Response:
        await asyncio.to_thread(parts.plane.get_campaign, tenant_id, name)
        return answer(await parts.quality.of_campaign(tenant_id, name))

    def turning(action: Literal["pause", "resume", "end"], status: str, summary: str) -> None:
        shown = answered(CampaignDocument, SHOWN | {"status": status})

        @routes.post(f"/campaigns/{{name}}/{action}", summary=summary, name=f"{action}_campaign", openapi_extra=shown)
        async def turn(name: str, tenant_id: Publisher) -> Response:
            turned = await parts.campaigns.turn(tenant_id, name, action)
            return answer(turned, etag=turned.etag)

    turning("pause", "paused", "Pause: nobody new is decided about")
    turning("resume", "live", "Resume a paused campaign")
    turning("end", "ended", "End for good; versions and counts are kept")

    return routes
