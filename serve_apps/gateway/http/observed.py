"""Observes every HTTP request, whatever answers it: assigns a trace, returns the request's id, and feeds the metrics.

An ASGI application around others. Guarantees: every answer has exactly one ``x-request-id``, the client's own if it was
usable; whatever is logged on the way, here and in the shards called, has it and the trace id. Labels are bounded: a
route is the template of its path, a method one of HTTP's own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from actors.telemetry import tracing
from serve_apps.gateway.http.server import EXCHANGE, Exchange
from serve_apps.gateway.metrics.measures import Measures

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

REQUEST_ID = b"x-request-id"
UNKNOWN = "other"
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"))
ROUTE = "whisperer.route"
"""Where an application that is not a router leaves its route in the scope."""


class Observed:
    """Wraps an application. ``is_echoed``: the surroundings already return the client's ``x-request-id``, as Serve
    does, except on the short way (:mod:`.server`)."""

    def __init__(self, application: Application, measures: Measures, *, is_echoed: bool = False) -> None:
        self._application = application
        self._measures = measures
        self._is_echoed = is_echoed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        trace, came, size = _trace_and_size(scope)
        is_echoed = self._is_echoed and EXCHANGE not in scope
        added = [] if is_echoed and trace.request_id == came else [(REQUEST_ID, trace.request_id.encode())]
        status = 500  # for an application that failed without an answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*(h for h in message.get("headers", ()) if h[0].lower() != REQUEST_ID), *added]
            await send(message)

        measures = self._measures
        measures.n_in_flight += 1
        with tracing.within((trace,)):
            try:
                await self._application(scope, receive, send_with_id)
            finally:
                measures.n_in_flight -= 1
                route, seconds = route_template(scope), time.perf_counter() - began
                method = scope["method"] if scope["method"] in METHODS else UNKNOWN
                measures.answered(route, method, status, seconds, size)
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug("%s %s: %d after %.1f ms, %d bytes", method, route, status, seconds * 1000, size)


def _trace_and_size(scope: Scope) -> tuple[tracing.Trace, str | None, int]:
    """Return the request's trace, the id it came with, and the declared size of its body."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    headers = dict(scope["headers"]) if exchange is None else exchange.headers
    came, traceparent = headers.get(REQUEST_ID), headers.get(b"traceparent")
    request_id = None if came is None else came.decode("latin-1")
    length = headers.get(b"content-length", b"")
    return (
        tracing.of_headers(request_id, None if traceparent is None else traceparent.decode("latin-1")),
        request_id,
        int(length) if length.isdigit() else 0,
    )


def route_template(scope: Scope) -> str:
    """Return the template of the path as the router found it; never the path itself, which anybody may make up."""
    named: str | None = scope.get(ROUTE)
    if named is not None:
        return named
    # A newer FastAPI keeps a route as its router wrote it and, separately, the one with the prefix it is mounted at.
    found = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(found, "path_format", UNKNOWN)
