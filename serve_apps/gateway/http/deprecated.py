"""Announces that a route is to go: in the OpenAPI document, on each of its answers, and in a metric of who still calls.

    @routes.get("/old", dependencies=[deprecated(Deprecation(since, sunset, see))])

The answers have `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a `Link` to what to do instead. A declaration changes
nothing else: the route works until it is taken out, which is not before its sunset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_apps.gateway.http.added import Headers, add
from serve_apps.gateway.http.observed import route_template
from serve_apps.gateway.http.principal import Principal

_MARK = "deprecation"
_CALLED = "deprecated_call"

Count = Callable[[str, str], None]
"""Takes the route and the tenant's id, "" where nobody was let in."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """That a route is to go.

    Attributes
    ----------
    since : when that was said, with a time zone
    sunset : before which it does not go, at least six months later
    see : address of the page that says what to call instead
    """

    since: datetime
    sunset: datetime
    see: str

    @property
    def headers(self) -> Headers:
        """What each answer says."""
        return [
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"sunset", format_datetime(self.sunset.astimezone(UTC), usegmt=True).encode()),
            (b"link", f'<{self.see}>; rel="deprecation"; type="text/html"'.encode()),
        ]


def deprecated(what: Deprecation) -> Any:
    """Return the dependency of a route that is to go."""

    async def announce(request: Request) -> None:
        add(request, what.headers)
        setattr(request.state, _CALLED, True)

    setattr(announce, _MARK, what)
    return Depends(announce)


def deprecation_of(dependant: Dependant) -> Deprecation | None:
    """Return what is declared of a route; None if it stays."""
    found: Deprecation | None = getattr(dependant.call, _MARK, None)
    return found or next((found for part in dependant.dependencies if (found := deprecation_of(part))), None)


class DeprecatedCalls:
    """An ASGI application around others, which counts their calls of routes that are to go, by route and tenant."""

    def __init__(self, app: ASGIApp, count: Count) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})  # before anybody copies the scope

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and state.pop(_CALLED, False):
                principal: Principal | None = state.get("principal")
                self._count(route_template(scope), "" if principal is None else principal.tenant_id)
            await send(message)

        await self._app(scope, receive, send_counted)
