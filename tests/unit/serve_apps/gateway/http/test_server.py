"""The short way of a replica's HTTP server gives the answers of the long one, and reports who hangs up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn

from serve_apps.gateway.http.hang_up import EndsWithItsCaller
from serve_apps.gateway.http.server import EXCHANGE, Connection, Exchange

SHORT = b"X-Short: yes\r\n"


class PlayedBooks:
    """Takes what says so in its headers; ``ways`` has the way each request took."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.ways: list[str] = []

    def take(self, headers: Mapping[bytes, bytes]) -> bool:
        return b"x-short" in headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.ways.append("short")
        await self._application(scope, receive, send)

    async def long(self, scope: Any, receive: Any, send: Any) -> None:
        self.ways.append("long")
        await self._application(scope, receive, send)


@asynccontextmanager
async def served(application: Any) -> AsyncIterator[tuple[int, PlayedBooks]]:
    books = PlayedBooks(application)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        books.long,
        interface="asgi3",
        http=partial(Connection, books),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.ensure_future(server._serve([listening]))
    try:
        yield listening.getsockname()[1], books
    finally:
        server.should_exit = True
        await running


async def ask(port: int, request: bytes) -> bytes:
    """Everything that comes back until the server closes the connection, without the changing date."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"date:"))


def request(method: bytes = b"GET", more: bytes = b"", body: bytes = b"", path: bytes = b"/a%20b?c=d") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return method + b" " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + length + more + b"\r\n" + body


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


LENGTH = (b"content-length", b"3")
ANSWERS = {
    "whole": [start(200, LENGTH, (b"X-Upper", b"Kept")), part(b"abc")],
    "without a length": [start(200), part(b"abc")],
    "empty": [start(204), part()],
    "in pieces": [start(200), part(b"ab", more=True), part(b"c")],
    "in pieces of a length": [start(200, LENGTH), part(b"ab", more=True), part(b"c")],
    "too short": [start(200, LENGTH), part(b"ab")],
    "too long": [start(200, LENGTH), part(b"abcd")],
    "closing": [start(200, LENGTH, (b"connection", b"close")), part(b"abc")],
    "chunked by itself": [start(200, (b"transfer-encoding", b"chunked")), part(b"abc")],
    "a header of two lines": [start(200, LENGTH, (b"x-a", b"b\r\nset-cookie: c")), part(b"abc")],
    "a header that is no name": [start(200, LENGTH, (b"x a", b"b")), part(b"abc")],
    "nothing": [],
    "only a beginning": [start(200, LENGTH)],
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
async def test_both_ways_answer_alike(name: str, method: bytes) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == (b"x" if method == b"POST" else b"")
        for message in ANSWERS[name]:
            await send({**message})

    body = b"x" if method == b"POST" else b""
    async with served(application) as (port, books):
        long = await ask(port, request(method, body=body))
        short = await ask(port, request(method, SHORT, body))
    assert books.ways == ["long", "short"]
    if name in ("a header of two lines", "a header that is no name", "only a beginning", "too short", "too long"):
        # A broken answer has no valid end either way; what was sent of it before that may differ.
        assert b"set-cookie" not in short
        assert not short.endswith(b"\r\n\r\nabc")
    else:
        assert short == long


async def test_both_ways_see_the_same_request() -> None:
    seen: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append({name: scope[name] for name in ("method", "path", "raw_path", "query_string", "http_version")})
        await send(start(204))
        await send(part())

    async with served(application) as (port, _):
        for more in (b"", SHORT):
            await ask(port, request(b"DELETE", more))
    assert seen[0] == seen[1]
    assert seen[0]["path"] == "/a b"


async def test_what_serve_answers_takes_its_way() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start(204))
        await send(part())

    async with served(application) as (port, books):
        await ask(port, request(more=SHORT, path=b"/-/healthz"))
    assert books.ways == ["long"]


async def test_requests_sent_at_once_are_answered_one_after_another() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05 if scope["path"] == "/1" else 0)
        body = scope["path"].encode()
        await send(start(200, (b"content-length", b"%d" % len(body))))
        await send(part(body))

    kept = b"GET /%d HTTP/1.1\r\nHost: h\r\n" + SHORT + b"\r\n"
    async with served(application) as (port, _):
        answer = await ask(port, kept % 1 + kept % 2 + request(more=SHORT, path=b"/3"))
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"/")] == [
        b"/1HTTP/1.1 200 OK",
        b"/2HTTP/1.1 200 OK",
        b"/3",
    ]


async def test_a_body_that_is_all_here_is_taken_at_once_and_another_is_not() -> None:
    taken: list[bytes | None] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        exchange: Exchange = scope[EXCHANGE]
        taken.append(exchange.take_whole_body())
        if taken[-1] is None:
            taken.append((await receive())["body"])
        await send(start(204))
        await send(part())

    async with served(application) as (port, _):
        await ask(port, request(b"POST", SHORT, b"all of it"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"POST", SHORT, b"later").removesuffix(b"later"))
        await asyncio.sleep(0.05)
        writer.write(b"later")
        await reader.read()
        writer.close()
    assert taken == [b"all of it", None, b"later"]


@pytest.mark.parametrize("body", [b"", b"x"])
async def test_work_ends_when_its_caller_hangs_up(body: bytes) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with served(EndsWithItsCaller(application)) as (port, books):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"POST", SHORT, body))
        await began.wait()
        writer.close()
        async with asyncio.timeout(10):
            await ended.wait()
    assert books.ways == ["short"]


async def test_what_is_left_to_do_after_the_answer_is_done() -> None:
    done = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start(204))
        await send(part())
        await asyncio.sleep(0.05)
        done.set()

    async with served(EndsWithItsCaller(application)) as (port, _):
        await ask(port, request(more=SHORT))
        async with asyncio.timeout(10):
            await done.wait()
