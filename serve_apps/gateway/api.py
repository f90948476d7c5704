"""Builds the HTTP application: resources (:mod:`.routes`), the operator's endpoints, health for anyone, and the pages.

No postponed annotations here: FastAPI has to see the dependencies that are made inside the functions.
"""

from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from serve_apps.gateway.http import problems
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.paths import AsWritten
from serve_apps.gateway.metrics import exposition as metrics
from serve_apps.gateway.pages import routes as pages
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.routes import openapi
from serve_apps.gateway.routes import shards as placement
from serve_apps.gateway.routes.idempotency import Idempotency
from serve_apps.gateway.routes.mounting import mount
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import InvalidKeyError

_UNREADY: dict[str, Any] = {"description": "Not now, and why", "content": {"application/json": {"schema": {}}}}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
"""Headers that proxies add; nginx does so only where configured, hence the warning in docs/operations.md."""


def build(parts: Parts) -> FastAPI:
    """Build the application from the gateway's parts."""
    app = FastAPI(
        title="User Whisperer",
        summary="Events become decisions, messages and rewards; users, segments, campaigns and audits over HTTP.",
        redirect_slashes=False,
        docs_url=None,  # those pages run a CDN's scripts on the origin that shows users
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(Idempotency, parts=parts)
    app.add_middleware(AsWritten)  # the last one added is the outermost
    _health(app, parts)
    openapi.install(app)
    mount(app, parts)
    _operator_routes(app, parts)
    _pages(app, parts)
    return app


def _health(app: FastAPI, parts: Parts) -> None:
    @app.get("/livez", tags=["health"], summary="The process runs")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Requests can be served; if not, why", responses={503: _UNREADY})
    async def readyz() -> Response:
        reasons = await parts.overview.unready()
        if not parts.access.healthy:
            reasons.append("the control plane has not answered yet")
        reasons += parts.unready()
        return answer({"status": "unready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


def _operator_routes(app: FastAPI, parts: Parts) -> None:
    async def operator(request: Request) -> None:
        parts.access.operator(request.headers.get("authorization"))

    guarded: dict[str, Any] = {"dependencies": [Depends(operator)], "include_in_schema": False}

    @app.get("/internal/status", **guarded)
    async def status() -> Response:
        return answer(await parts.overview.status())

    placement.install(app, parts, guarded)


def _pages(app: FastAPI, parts: Parts) -> None:
    def may_look(request: Request) -> bool:
        """Return whether a caller may see the pages.

        Bound to loopback, whoever reaches us is on this machine, unless a foreign name was made to point here, or a
        proxy says that it acts for somebody else.
        """
        if parts.access.is_operator(request.headers.get("authorization")):
            return True
        if any(name in request.headers for name in FORWARDED):
            return False
        settings = parts.installation.settings
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        return settings is not None and settings.server.host in LOOPBACK and host in LOOPBACK

    @app.get("/metrics", include_in_schema=False)
    async def prometheus(request: Request) -> Response:
        if not may_look(request):
            raise InvalidKeyError("metrics are for the operator: Authorization: Bearer op_…")
        reports = await parts.overview.reports()
        text = metrics.exposition(await parts.overview.status(reports), reports)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    pages.install(app, Documents(parts), may_look)
