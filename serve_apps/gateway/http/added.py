"""Adds headers to an answer that are known before the answer is made: where its caller stands, what is to go.

An ASGI application around others. Of two around each other, the inner one adds them.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]
_KEPT = "added_headers"


def add(request: Request, headers: Headers) -> None:
    """Have headers added to the answer to a request, whatever it will be; the last value of each name counts."""
    setattr(request.state, _KEPT, getattr(request.state, _KEPT, {}) | dict(headers))


class AddedHeaders:
    """Adds what was left for each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})  # before anybody copies the scope

        async def send_with_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *state.pop(_KEPT, {}).items()]
            await send(message)

        await self._app(scope, receive, send_with_more)
