"""Builds the HTTP application: resources (:mod:`.routes`), the operator's endpoints, health for anyone, and the pages.

No postponed annotations here: FastAPI has to see the dependencies that are made inside the functions.
"""

import asyncio
from importlib.metadata import version as package_version
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from cluster.launch.front_door import FORWARDED_HEADER
from serve_apps.gateway.http import listing, problems
from serve_apps.gateway.http.added import AddedHeaders
from serve_apps.gateway.http.cookies import session_cookie
from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.paths import AsWritten
from serve_apps.gateway.http.preferred import Preferred
from serve_apps.gateway.metrics import exposition as metrics
from serve_apps.gateway.pages import account, login, proof, signing_in
from serve_apps.gateway.pages import routes as pages
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.routes import auth, openapi
from serve_apps.gateway.routes import shards as placement
from serve_apps.gateway.routes.idempotency import Idempotency
from serve_apps.gateway.routes.mounting import mount
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.errors import InvalidKeyError

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
FORWARDED = (FORWARDED_HEADER.lower(), "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""How it shows that a proxy acts for somebody else: our HAProxy says so, and removes what some of them add. nginx adds
nothing unless configured to, hence the warning in docs/operations.md."""


class Readiness(msgspec.Struct):
    """Whether requests can be served; ``reasons`` says why not."""

    status: Literal["ready", "unready"]
    reasons: list[str]
    version: str


class Liveness(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"]
    version: str


class Release(msgspec.Struct):
    """The release that answers."""

    version: str


def build(parts: Parts) -> FastAPI:
    """Build the application from the gateway's parts."""
    app = FastAPI(
        title="User Whisperer",
        version=package_version("user-whisperer"),
        summary="Events become decisions, messages and rewards; users, segments, campaigns and audits over HTTP.",
        redirect_slashes=False,
        docs_url=None,  # those pages run a CDN's scripts on the origin that shows users
        redoc_url=None,
    )
    setattr(app.state, listing.SEALS, bytes.fromhex(parts.installation.link_secret))
    problems.install(app)
    app.add_middleware(Idempotency, parts=parts)
    app.add_middleware(AddedHeaders)
    app.add_middleware(Preferred)
    app.add_middleware(AsWritten)  # the last one added is the outermost
    _health(app, parts)
    openapi.install(app)
    mount(app, parts)
    auth.install(app, parts)
    _operator_routes(app, parts)
    _pages(app, parts)
    return app


def _health(app: FastAPI, parts: Parts) -> None:
    version = app.version

    async def readiness() -> Response:
        reasons = await parts.overview.unready()
        if not parts.access.healthy:
            reasons.append("the control plane has not answered yet")
        reasons += parts.unready()
        status: Literal["ready", "unready"] = "unready" if reasons else "ready"
        return answer(Readiness(status, reasons, version), 503 if reasons else 200)

    ready = answered(Readiness, {"status": "ready", "reasons": [], "version": "1.0.0"})
    unready = {"status": "unready", "reasons": ["shard-1 does not answer"], "version": "1.0.0"}
    ready["responses"] |= answered(Readiness, unready, 503)["responses"]

    @app.get("/health", tags=["health"], summary="Like /readyz", openapi_extra=ready)
    async def health() -> Response:
        return await readiness()

    running = answered(Liveness, {"status": "ok", "version": "1.0.0"})

    @app.get("/livez", tags=["health"], summary="The process runs", openapi_extra=running)
    async def livez() -> Response:
        return answer(Liveness("ok", version))

    @app.get("/readyz", tags=["health"], summary="Requests can be served; if not, why", openapi_extra=ready)
    async def readyz() -> Response:
        return await readiness()

    @app.get(
        "/version",
        tags=["health"],
        summary="The release that answers",
        openapi_extra=answered(Release, {"version": "1.0.0"}),
    )
    async def release() -> Response:
        return answer(Release(version))


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
        deliveries = await parts.provider_states.reports()
        text = metrics.exposition(await parts.overview.status(reports), reports, deliveries)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    async def tenant_of_person(request: Request, permission: Permission) -> str | None:
        """Return the name of the tenant that somebody is signed in to by a cookie. Raises ForbiddenError."""
        cookie = session_cookie(request)
        if cookie is None:
            return None
        try:
            principal = await parts.access.tokens.session(cookie)
        except InvalidKeyError:
            return None
        await parts.access.admit(request, principal, permission)
        return (await asyncio.to_thread(parts.plane.get_tenant, principal.tenant_id)).name

    pages.install(app, Documents(parts), may_look, tenant_of_person=tenant_of_person)
    signing_in.install(app, parts)
    account.install(app, parts)
    proof.install(app, parts)
    login.install(app, parts)
