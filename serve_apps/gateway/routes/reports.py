"""The reports resource: questions about campaigns that are kept under a name. docs/campaigns.md describes them."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.access_documents import SavedReportDocument, saved_report_document
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, answer, made_at, read_as
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.saved_reports import ReportDefinition, ReportResult
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.journeys.limits import NAME_PATTERN

DEFINITION = {"campaigns": ["trial-welcome"], "metric": "lift_by_day", "period": {"last_days": 30}}
SHOWN = {
    "name": "weekly",
    "definition": DEFINITION,
    "created_at": "2026-01-31T09:00:00.000Z",
    "changed_at": "2026-01-31T09:00:00.000Z",
}


RESULT = {
    "name": "weekly",
    "metric": "lift_by_day",
    "as_of": "2026-01-31T09:00:00.000Z",
    "period": {"from": "2026-01-02", "to": "2026-01-31"},
    "data": [
        {
            "campaign": "trial-welcome",
            "as_of": "2026-01-31T09:00:00.000Z",
            "window_s": 259_200.0,
            "conflicted_users": 0,
            "days": [],
        }
    ],
}
LIST = Listing("reports", SavedReportDocument, sorts=("name", "created_at", "changed_at"))


class ReportBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a report asks."""

    definition: ReportDefinition


class NewReportBody(msgspec.Struct, forbid_unknown_fields=True):
    """A report and its name."""

    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}$")]
    definition: ReportDefinition


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["reports"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.REPORTS_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.REPORTS_WRITE))]

    @routes.get("/reports", summary="Saved reports, by name", openapi_extra=LIST.documented(SHOWN))
    async def list_reports(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await parts.saved_reports.page(tenant_id, asked.place(tenant_id))
        return asked.part(tenant_id, found, saved_report_document)

    @routes.post(
        "/reports",
        summary="Save a report",
        status_code=201,
        openapi_extra=described("NewReport", {"name": "weekly", "definition": DEFINITION})
        | answered(SavedReportDocument, SHOWN, 201),
    )
    async def create_report(request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, NewReportBody)
        made = await parts.saved_reports.create(tenant_id, body.name, body.definition)
        return made_at(request, saved_report_document(made), made.name, etag=made.etag)

    @routes.get(
        "/reports/{name}", summary="What a saved report asks", openapi_extra=answered(SavedReportDocument, SHOWN)
    )
    async def get_report(name: str, tenant_id: Reader) -> Response:
        found = await parts.saved_reports.show(tenant_id, name)
        return answer(saved_report_document(found), etag=found.etag)

    @routes.put(
        "/reports/{name}",
        summary="Save a report, or replace one",
        openapi_extra=described("SavedReport", {"definition": DEFINITION}) | answered(SavedReportDocument, SHOWN),
    )
    async def put_report(name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, ReportBody)
        written = await parts.saved_reports.put(tenant_id, name, body.definition, if_match)
        return answer(saved_report_document(written), etag=written.etag)

    @routes.delete(
        "/reports/{name}", summary="Delete a saved report", openapi_extra=answered(SavedReportDocument, SHOWN)
    )
    async def delete_report(name: str, tenant_id: Writer) -> Response:
        return answer(await parts.saved_reports.delete(tenant_id, name))

    @routes.get(
        "/reports/{name}/result",
        summary="Answer a saved report with what is known now",
        openapi_extra=answered(ReportResult, RESULT),
    )
    async def run_report(name: str, tenant_id: Reader) -> Response:
        return answer(await parts.saved_reports.run(tenant_id, name))

    return routes
