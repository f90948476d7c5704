"""Holds the bodies of all other requests to what ingestion's are held to: the pace, and the room of :mod:`.arrivals`.

An ASGI application around the API. Whoever reads a body there reads it through here, whatever their access: nobody has
shown a good key for sure before a handler says so, so bodies count on their sender's address. One that falls behind
raises TooSlowError (408) where it is read, one dropped to make room OverloadError (503), and both are answered like any
error. A request whose body nobody reads holds nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serve_apps.gateway.http.arrivals import Arrival, Arrivals, BodyPace, owner_of_address
from serve_apps.gateway.http.connection import client_address
from whisperer.errors import OverloadError, TooSlowError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Paced:
    """Wraps an application. ``client_secret`` is what our own proxy shows (:mod:`.connection`)."""

    def __init__(self, application: Application, arrivals: Arrivals, pace: BodyPace, client_secret: str) -> None:
        self._application = application
        self._arrivals = arrivals
        self._pace = pace
        self._client_secret = client_secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        body = _Body(receive, self._arrivals, self._pace, client_address(dict(scope["headers"]), self._client_secret))
        try:
            await self._application(scope, body.receive, send)
        finally:
            body.end()


class _Body:
    """One body as it is read. Its account opens with the first read and closes with its last byte."""

    def __init__(self, receive: Receive, arrivals: Arrivals, pace: BodyPace, address: str | None) -> None:
        self._receive = receive
        self._arrivals = arrivals
        self._pace = pace
        self._address = address
        self._arrival: Arrival | None = None
        self._wait: asyncio.Timeout | None = None
        self._began = 0.0
        self._is_over = False

    async def receive(self) -> Message:
        """Return the server's next message. Raises TooSlowError and OverloadError while the body is under way."""
        if self._is_over:
            return await self._receive()
        if self._arrival is None:
            self._began = asyncio.get_running_loop().time()
            self._arrival = self._arrivals.begin(owner_of_address(self._address), self._give_up)
        arrival = self._arrival
        try:
            async with asyncio.timeout_at(self._pace.deadline(self._began, arrival.n_bytes)) as self._wait:
                message = await self._receive()
        except TimeoutError:
            self._refuse_given_up(arrival)
            self.end()
            raise TooSlowError("the body came too slowly or not to its end; send it again") from None
        finally:
            self._wait = None
        self._refuse_given_up(arrival)
        if message["type"] == "http.request" and message.get("more_body", False):
            self._arrivals.grew(arrival, len(message.get("body", b"")))
            self._refuse_given_up(arrival)
        else:
            self.end()
        return message

    def end(self) -> None:
        """Close the body's account; what follows is not a body."""
        self._is_over = True
        if self._arrival is not None:
            self._arrivals.end(self._arrival)

    def _give_up(self) -> None:
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    def _refuse_given_up(self, arrival: Arrival) -> None:
        if arrival.is_given_up:
            self.end()
            raise OverloadError("too many bodies are on their way; send it again", retry_after_s=1.0)
