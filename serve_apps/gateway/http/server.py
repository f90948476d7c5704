"""The HTTP server of a gateway replica: uvicorn's, with a short way for the requests that HAProxy brings.

Serve starts uvicorn in each replica and wraps each request of it in a dozen layers; on a small request they cost more
than the gateway does. Requests that its books (:mod:`.serving`) can account for go to the gateway
directly, all others (health checks, upgrades, a full replica) the way that Serve laid. Everything else is as before:
the listening socket, the connections that a drain waits for, keep-alive, limits on headers.

An :class:`Exchange` is one request and its answer on the short way. A whole answer leaves in one piece; who wants to
know that the caller has hung up is called, instead of having to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

EXCHANGE = "whisperer.exchange"
"""Where the scope of a request on the short way has its :class:`Exchange`."""
SERVES_OWN = "/-/"
"""Paths that Serve answers: health checks of HAProxy, and its routes."""

_valid_names: set[bytes] = set()
"""Names of headers that have been looked at; the gateway's own are a few dozen."""
_MAX_VALID_NAMES = 1_000


class Taker(Protocol):
    """Decides by a request's headers whether it takes the short way, and is the application at its end."""

    def take(self, headers: Mapping[bytes, bytes]) -> bool: ...
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Connection(HttpToolsProtocol):
    """One connection. ``books`` decide which requests take the short way, and run them."""

    def __init__(self, books: Taker, **given: Any) -> None:
        super().__init__(**given)
        self._books = books

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() or not self._books.take(headers := dict(self.headers)):
            super().on_headers_complete()
            return
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        if path.startswith(SERVES_OWN):
            super().on_headers_complete()
            return
        http_version = self.parser.get_http_version()
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = http_version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        self.cycle = exchange = Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=http_version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        exchange.headers = headers
        scope[EXCHANGE] = exchange
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self._books)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self._books))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        exchange = self.cycle
        if isinstance(exchange, Exchange) and exchange.on_hang_up is not None and not exchange.response_complete:
            exchange.on_hang_up()


class Exchange(RequestResponseCycle):
    """A request and its answer. ``status`` is 0 until there is one."""

    headers: dict[bytes, bytes]
    """The request's, by name in lower case; the last one of those with the same name."""
    on_hang_up: Callable[[], None] | None = None
    status = 0
    _start: MutableMapping[str, Any] | None = None

    def take_whole_body(self) -> bytes | None:
        """Return the body if all of it is here; it then counts as read. None if some of it is still to come."""
        if self.more_body:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        self.message_event.clear()
        return body

    async def send(self, message: Any) -> None:
        start = self._start
        if start is None:
            if message["type"] == "http.response.start" and not self.response_started:
                self.status = message["status"]
                self.response_started = True  # to whoever asks: the application has begun
                self._start = message
                return
        else:
            self._start = None
            if self._send_whole(start, message):
                return
            self.response_started = False
            await super().send(start)  # type: ignore[arg-type]
        await super().send(message)

    def _send_whole(self, start: MutableMapping[str, Any], message: MutableMapping[str, Any]) -> bool:
        """Send an answer in one piece; False if it is not one, or the other side does not keep up."""
        if message.get("more_body", False) or self.flow.write_paused or self.disconnected:
            return False
        body, length = message.get("body", b""), b"%d" % len(message.get("body", b""))
        parts = [STATUS_LINE[start["status"]]]
        has_length = False
        for name, value in self.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in start["headers"]:
            if name not in _valid_names:
                name = _checked(name)
            if HEADER_VALUE_RE.search(value):
                raise RuntimeError("Invalid HTTP header value.")
            if name == b"content-length":
                has_length = value == length
            elif name in (b"connection", b"transfer-encoding"):
                return False
            parts += (name, b": ", value, b"\r\n")
        if not has_length or self.scope["method"] == "HEAD":
            return False
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", body)
        self.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def _checked(name: bytes) -> bytes:
    if HEADER_RE.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    if name == name.lower() and len(_valid_names) < _MAX_VALID_NAMES:
        _valid_names.add(name)
    return name.lower()
