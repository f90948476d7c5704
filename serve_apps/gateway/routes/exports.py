"""The exports resource: a tenant's data as files, made by jobs. docs/exporting.md describes them.

The file itself is fetched with the token of a link instead of a key, and is not mounted for the operator again.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.http.ranged import RangedFile
from serve_apps.gateway.services.exports import MEDIA_TYPES, ExportBody, ExportDocument
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

FILE_PATH = "/v1/exports/{export_id}/file"
BODY_EXAMPLE = {
    "of": "events",
    "format": "csv",
    "filter": {"since": "2026-01-01T00:00:00Z", "event": "Order Completed"},
}
EXAMPLE = {
    "id": "exp_01kb9v00000000000000a1",
    **BODY_EXAMPLE,
    "state": "done",
    "progress": {"rows": 48213, "share": 1.0},
    "created_at": "2026-01-31T09:00:00.000Z",
    "created_by": "ada@example.com",
    "started_at": "2026-01-31T09:00:00.120Z",
    "finished_at": "2026-01-31T09:00:04.310Z",
    "error": None,
    "rows": 48213,
    "size_bytes": 20418321,
    "sha256": "51ab…",
    "expires_at": "2026-02-07T09:00:04.310Z",
    "download_url": "https://whisperer.example.com/v1/exports/exp_01kb9v00000000000000a1/file?token=dl_…",
}
BEGUN = EXAMPLE | {
    "state": "queued",
    "progress": {"rows": 0, "share": None},
    **dict.fromkeys(("started_at", "finished_at", "rows", "size_bytes", "sha256", "expires_at", "download_url")),
}
_UNSEEN: Mapping[str, str] = {
    "Cache-Control": "no-store, private",
    "Referrer-Policy": "no-referrer",  # the address is a secret for an hour
    "X-Content-Type-Options": "nosniff",
}

STATES = ("queued", "running", "done", "failed", "cancelled", "expired")
LIST = Listing(
    "exports",
    ExportDocument,
    key="id",
    sorts=("created_at",),
    usual="-created_at",
    filters={"state": of_words(STATES)},
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["exports"])
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.EXPORTS_WRITE))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.EXPORTS_READ))]

    @routes.post(
        "/exports",
        summary="Begin an export of users, events, decisions, deliveries, outcomes, rewards or the audit log",
        status_code=202,
        openapi_extra=described("NewExport", BODY_EXAMPLE) | answered(ExportDocument, BEGUN, 202),
    )
    async def begin_export(request: Request, tenant_id: Writer) -> Response:
        begun = await parts.exports.begin(tenant_id, await read_as(request, ExportBody), principal_of(request))
        made = answer(begun, 202)
        made.headers["Location"] = f"{request.url.path}/{begun.id}"
        return made

    @routes.get(
        "/exports",
        summary="Exports, newest first, without links to their files",
        openapi_extra=LIST.documented(EXAMPLE | {"download_url": None}),
    )
    async def list_exports(
        request: Request, tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]
    ) -> Response:
        found = await parts.exports.list(tenant_id, asked.filters.get("state"), principal_of(request))
        return asked.page(tenant_id, found)

    @routes.get(
        "/exports/{export_id}",
        summary="How far an export is and, once it is done, a link to its file",
        openapi_extra=answered(ExportDocument, EXAMPLE),
    )
    async def get_export(export_id: str, request: Request, tenant_id: Reader) -> Response:
        return answer(await parts.exports.show(tenant_id, export_id, principal_of(request)))

    @routes.delete(
        "/exports/{export_id}",
        summary="Cancel an export, or delete it with its file",
        openapi_extra=answered(ExportDocument, EXAMPLE | {"state": "cancelled", "download_url": None}),
    )
    async def end_export(export_id: str, request: Request, tenant_id: Writer) -> Response:
        return answer(await parts.exports.end(tenant_id, export_id, principal_of(request)))

    return routes


def install(app: FastAPI, parts: Parts) -> None:
    """Add the route of files, which a token opens."""

    async def give(export_id: str, request: Request, token: str) -> Response:
        file = await parts.exports.file(export_id, token)
        record = file.record
        return RangedFile(
            file.folder,
            file.place,
            record.size_bytes,
            f'"{record.sha256}"',
            request.headers,
            media_type=MEDIA_TYPES[record.format],
            more={"Content-Disposition": f'attachment; filename="{file.name}"', **_UNSEEN},
            leave=file.leave,
        )

    Token = Annotated[str, Query(max_length=200, description="of `download_url`")]
    content: dict[str, Any] = {media_type.partition(";")[0]: {"schema": {}} for media_type in MEDIA_TYPES.values()}
    responses = {
        "200": {"description": "The file", "content": content},
        "206": {"description": "The range that was asked for", "content": content},
        "416": {"description": "The range is not in the file"},
    }

    @app.get(
        FILE_PATH,
        tags=["exports"],
        summary="The file of an export, by a link; `Range` is answered",
        description="The file of an export. Needs no key: the token of `download_url` is good for an hour.",
        response_class=Response,
        openapi_extra={"responses": responses},
    )
    async def get_export_file(export_id: str, request: Request, token: Token = "") -> Response:
        return await give(export_id, request, token)

    @app.head(FILE_PATH, include_in_schema=False)
    async def head_export_file(export_id: str, request: Request, token: Token = "") -> Response:
        return await give(export_id, request, token)
