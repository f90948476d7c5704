"""The quality of what was sent, by channel, with what readers did: docs/quality.md."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.quality import QualityDocument
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

SHOWN = {
    "as_of": "2026-01-31T09:00:00.000Z",
    "days": 90,
    "channels": [
        {
            "channel": "email",
            "scored": 1200,
            "mean": 4.61,
            "bins": [{"score": 4.75, "sent": 900, "engaged": 72, "rate": 0.079, "calibrated": 4.91}],
        }
    ],
}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["reports"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.REPORTS_READ))]

    @routes.get(
        "/quality",
        summary="Scores of what was sent, by channel, and how often readers of each score engaged",
        openapi_extra=answered(QualityDocument, SHOWN),
    )
    async def get_quality(tenant_id: Reader) -> Response:
        return answer(await parts.quality.show(tenant_id))

    return routes
