"""Cancels the work for a caller who has hung up.

An ASGI application around others. It reads from the server only on the application's behalf, and never more of a body
than was asked for. Once the body was read, or if there is none, a connection that ends cancels the work; work that must
continue without its caller shields itself (:mod:`.idempotency`). On the short way (:mod:`.server`) the connection
itself reports its end, also while a body is on its way; otherwise two tasks wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serve_apps.gateway.http.server import EXCHANGE, Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EndsWithItsCaller:
    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        exchange: Exchange | None = scope.get(EXCHANGE)
        if exchange is not None:
            await self._until_it_ends(exchange, scope, receive, send)
            return
        was_read, is_answered = asyncio.Event(), False
        if not _has_body(scope):
            was_read.set()

        async def receive_and_see() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                was_read.set()
            return message

        async def send_and_see(message: Message) -> None:
            nonlocal is_answered
            is_answered = is_answered or (
                message["type"] == "http.response.body" and not message.get("more_body", False)
            )
            await send(message)

        async def hung_up() -> None:
            await was_read.wait()
            while (await receive())["type"] != "http.disconnect":
                pass

        work = asyncio.ensure_future(self._application(scope, receive_and_see, send_and_see))
        watch = asyncio.ensure_future(hung_up())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not is_answered:
                work.cancel()
            await asyncio.wait({work})
        finally:
            watch.cancel()
            work.cancel()
        if not work.cancelled():
            work.result()

    async def _until_it_ends(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.current_task()
        assert work is not None
        is_cancelled = False

        def cancel() -> None:
            nonlocal is_cancelled
            is_cancelled = True
            work.cancel()

        if exchange.disconnected:
            return
        exchange.on_hang_up = cancel
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not is_cancelled or work.uncancel():  # somebody else ends it, too
                raise
        finally:
            exchange.on_hang_up = None


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
