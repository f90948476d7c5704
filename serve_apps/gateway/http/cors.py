"""Says which origins' scripts may call the control API from a browser: those that the operator or a tenant named.

An ASGI application around the API. It covers what callers with a key use, and not what the operator does, nor the
pages. It decides nothing about who may do what: an origin is let read answers, a key is still needed. Cookies and other
credentials of a browser are allowed to the operator's named origins only. The Tracking API answers every
origin by itself (:mod:`serve_apps.gateway.tracking.endpoint`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ANY = "*"
COVERED = ("/v1/", "/.well-known/")
COVERED_EXACTLY = ("/openapi.json", "/health", "/livez", "/readyz", "/version")
MAX_AGE_S = 600
"""For how long a browser remembers that it may call; a change of the setting is noticed after this time."""

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_REQUEST_HEADERS = (
    b"authorization, content-type, idempotency-key, if-match, if-none-match, prefer, traceparent, x-csrf-token, "
    b"x-request-id"
)
_EXPOSED = (
    b"ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, Idempotent-Replay, Deprecation, "
    b"Sunset"
)
_VARY = (b"vary", b"Origin")


class CrossOrigin:
    """Wraps an application.

    ``allowed``: the operator's origins as browsers write them, and `*` for any. ``of_tenants`` says whether a tenant
    named an origin; which one is not known before the call itself, so this opens the way for keys and tokens only.
    """

    def __init__(
        self,
        application: Application,
        allowed: frozenset[str],
        of_tenants: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._of_tenants = of_tenants
        self._application = application
        self._any = ANY in allowed
        self._named = frozenset(origin.encode() for origin in allowed - {ANY})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_covered(scope["path"]):
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"origin" not in headers and not (self._any or self._named):
            await self._application(scope, receive, send)
            return
        granted = self._granted(headers.get(b"origin"))
        if granted and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": [*granted, _VARY, *_preflight()]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_grant(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *granted, _VARY]
            await send(message)

        await self._application(scope, receive, send_with_grant)

    def _granted(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Return the headers that let an origin read the answer, none if it may not."""
        if origin is None:
            return []
        exposed = (b"access-control-expose-headers", _EXPOSED)
        if origin in self._named:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                exposed,
            ]
        if self._any:
            return [(b"access-control-allow-origin", b"*"), exposed]
        return [(b"access-control-allow-origin", origin), exposed] if self._of_tenants(origin) else []


def is_covered(path: str) -> bool:
    """Return whether a path is part of what callers in browsers may be let use."""
    return path.startswith(COVERED) or path in COVERED_EXACTLY


def _preflight() -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", str(MAX_AGE_S).encode()),
    ]
