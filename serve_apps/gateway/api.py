"""The REST routes: users and segments for a tenant's secret key, everything for the operator, health for anyone.

No postponed annotations here: FastAPI has to see the dependencies that are made inside the functions.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from actors.routing import Shards
from cluster.control_plane import ControlPlane
from cluster.installation import Installation
from serve_apps.gateway import metrics, problems
from serve_apps.gateway.access import Access
from serve_apps.gateway.overview import Overview
from serve_apps.gateway.pages.home import PAGE_HEADERS, render_home
from serve_apps.gateway.pages.static_files import static_file
from serve_apps.gateway.publishing import Publishing
from serve_apps.gateway.users import Users
from whisperer.errors import InvalidKeyError, NotFoundError, RequestError
from whisperer.events.clock import instant

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(slots=True)
class Parts:
    """Everything the routes use, made once a replica."""

    installation: Installation
    plane: ControlPlane
    access: Access
    shards: Shards
    overview: Overview
    users: Users
    publishing: Publishing


class SegmentBody(BaseModel):
    """A predicate of docs/segments.md."""

    predicate: dict[str, Any] = Field(examples=[{"event": "Order Completed", "op": "gte", "count": 3, "days": 30}])


class MoveBody(BaseModel):
    tenant: str
    partition: int
    to: int


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def build(parts: Parts) -> FastAPI:
    app = FastAPI(
        title="User Whisperer",
        summary="Events become exact, durable user state; users, segments and exports over HTTP.",
        redirect_slashes=False,
    )
    problems.install(app)
    _health(app, parts)
    _tenant_routes(app, parts)
    _operator_routes(app, parts)
    _pages(app, parts)
    return app


def _health(app: FastAPI, parts: Parts) -> None:
    @app.get("/livez", tags=["health"], summary="The process runs")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Requests can be served; if not, why")
    async def readyz() -> Response:
        reasons = await parts.overview.unready()
        if not parts.access.healthy:
            reasons.append("the control plane has not answered yet")
        return json_response({"status": "unready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


def _tenant_routes(app: FastAPI, parts: Parts) -> None:
    async def tenant_of(request: Request) -> str:
        return (await parts.access.secret(request.headers.get("authorization"))).tenant_id

    Tenant = Annotated[str, Depends(tenant_of)]  # noqa: N806  a type

    @app.get("/v1/users/{user_id:path}/export", tags=["users"], summary="Everything held on a user")
    async def export_user(user_id: str, tenant: Tenant) -> Response:
        return json_response(await parts.users.export(tenant, user_id))

    @app.get("/v1/users/{user_id:path}", tags=["users"], summary="One user: traits, features, segments, timeline")
    async def get_user(
        user_id: str,
        tenant: Tenant,
        as_of: Annotated[str | None, Query(description="ISO 8601; features as of then")] = None,
        timeline: Annotated[
            Literal["recent", "full"], Query(description="full: what was sent, also of old events")
        ] = "recent",
    ) -> Response:
        full = timeline == "full"
        return json_response(await parts.users.show(tenant, user_id, _moment(as_of), full_timeline=full))

    @app.delete("/v1/users/{user_id:path}", tags=["users"], summary="Erase a user for good")
    async def erase_user(user_id: str, tenant: Tenant) -> Response:
        return json_response(await parts.users.erase(tenant, user_id))

    @app.get("/v1/segments", tags=["segments"], summary="Published segments with their members")
    async def list_segments(tenant: Tenant) -> Response:
        return json_response({"data": await parts.publishing.list(tenant), "next_cursor": None})

    @app.put("/v1/segments/{name}", tags=["segments"], summary="Publish a segment's next version")
    async def publish_segment(name: str, body: SegmentBody, tenant: Tenant) -> Response:
        return json_response(await parts.publishing.publish(tenant, name, body.predicate))

    @app.get("/v1/segments/{name}", tags=["segments"], summary="One segment: predicate, members, backfill progress")
    async def get_segment(name: str, tenant: Tenant) -> Response:
        return json_response(await parts.publishing.show(tenant, name))

    @app.delete("/v1/segments/{name}", tags=["segments"], summary="End a segment")
    async def archive_segment(name: str, tenant: Tenant) -> Response:
        return json_response(await parts.publishing.archive(tenant, name))


def _operator_routes(app: FastAPI, parts: Parts) -> None:
    async def operator(request: Request) -> None:
        parts.access.operator(request.headers.get("authorization"))

    guarded = {"dependencies": [Depends(operator)], "include_in_schema": False}

    async def tenant_of(tenant: str) -> str:
        if not any(tenant in pair for pair in parts.overview.tenants.items()):
            await parts.overview.reload()
        for tenant_id, name in parts.overview.tenants.items():
            if tenant in (tenant_id, name):
                return tenant_id
        raise NotFoundError(f"there is no tenant {tenant!r}; `whisperer tenant list` names them")

    Tenant = Annotated[str, Depends(tenant_of)]  # noqa: N806  a type

    @app.get("/internal/status", **guarded)
    async def status() -> Response:
        return json_response(await parts.overview.status())

    @app.get("/internal/shards", **guarded)
    async def shards() -> Response:
        found = [{"shard": s["name"], **s} for s in await parts.overview.shards(fresh=True)]
        return json_response({"shards": found, "map_version": parts.shards.map.version})

    @app.post("/internal/shards/move", **guarded)
    async def move(body: MoveBody) -> Response:
        tenant = await tenant_of(body.tenant)
        return json_response({"map_version": await parts.shards.move(tenant, body.partition, body.to)})

    @app.get("/internal/tenants/{tenant}/users/{user_id:path}/export", **guarded)
    async def export_user(user_id: str, tenant_id: Tenant) -> Response:
        return json_response(await parts.users.export(tenant_id, user_id))

    @app.get("/internal/tenants/{tenant}/users/{user_id:path}", **guarded)
    async def get_user(user_id: str, tenant_id: Tenant, as_of: str | None = None) -> Response:
        return json_response(await parts.users.show(tenant_id, user_id, _moment(as_of)))

    @app.delete("/internal/tenants/{tenant}/users/{user_id:path}", **guarded)
    async def erase_user(user_id: str, tenant_id: Tenant) -> Response:
        return json_response(await parts.users.erase(tenant_id, user_id))

    @app.get("/internal/tenants/{tenant}/segments/{name}", **guarded)
    async def get_segment(name: str, tenant_id: Tenant) -> Response:
        return json_response(await parts.publishing.show(tenant_id, name))

    @app.post("/internal/tenants/{tenant}/segments/{name}/publish", **guarded)
    async def publish_segment(name: str, body: SegmentBody, tenant_id: Tenant) -> Response:
        return json_response(await parts.publishing.publish(tenant_id, name, body.predicate))

    @app.post("/internal/tenants/{tenant}/segments/{name}/archive", **guarded)
    async def archive_segment(name: str, tenant_id: Tenant) -> Response:
        return json_response(await parts.publishing.archive(tenant_id, name))


def _pages(app: FastAPI, parts: Parts) -> None:
    def may_look(request: Request) -> bool:
        """Bound to loopback, whoever reaches us is on this machine, unless a foreign name was made to point here."""
        if parts.access.is_operator(request.headers.get("authorization")):
            return True
        settings = parts.installation.settings
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        return settings is not None and settings.server.host in LOOPBACK and host in LOOPBACK

    async def live() -> Any:
        return await parts.overview.live(parts.installation.demo, parts.installation.dashboard_url or None)

    @app.get("/internal/live", include_in_schema=False)
    async def live_document(request: Request) -> Response:
        if not may_look(request):
            raise InvalidKeyError("the live view is for the operator: Authorization: Bearer op_…")
        answer = json_response(await live())
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/metrics", include_in_schema=False)
    async def prometheus(request: Request) -> Response:
        if not may_look(request):
            raise InvalidKeyError("metrics are for the operator: Authorization: Bearer op_…")
        return Response(metrics.exposition(await parts.overview.status()), media_type=metrics.MEDIA_TYPE)

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        document = await live() if may_look(request) else None
        base_url = f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        return HTMLResponse(render_home(document, base_url=base_url), headers=dict(PAGE_HEADERS))

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        found = static_file(name)
        if found is None:
            raise NotFoundError("there is no such file")
        content, media_type, etag = found
        headers = {"ETag": etag, "Cache-Control": "public, max-age=31536000, immutable"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise RequestError(f"as_of must be an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text!r}")
    return found
