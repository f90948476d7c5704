"""Says who acts, for the audit log, where a call has no principal: somebody who is not signed in yet."""

from __future__ import annotations

from starlette.requests import Request

from actors.telemetry import tracing
from cluster.control_plane.audit.acting import Actor, ActorKind, act_as
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.observed import route_template


def act_as_nobody(request: Request, access: Access) -> None:
    """Let the rest of a request act for somebody who is not signed in."""
    traces = tracing.current()
    act_as(
        Actor(
            ActorKind.NOBODY,
            operation=f"{request.method} {route_template(request.scope)}",
            address=access.address(request) or "",
            request_id=traces[0].request_id if traces else "",
        )
    )
