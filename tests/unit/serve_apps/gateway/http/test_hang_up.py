"""A caller who hangs up ends the work done for it, and no more of its body is read than was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from serve_apps.gateway.http.hang_up import EndsWithItsCaller


class Caller:
    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages, self.n_read, self.sent = list(messages), 0, []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            self.n_read += 1
            return self._messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message["type"])


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}


async def test_work_without_a_body_ends_when_its_caller_hangs_up() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = Caller()
    call = asyncio.ensure_future(EndsWithItsCaller(app)(scope(), caller.receive, caller.send))
    await began.wait()
    caller.gone.set()
    await call
    assert ended.is_set()


async def test_work_with_a_body_ends_when_its_caller_hangs_up_after_it() -> None:
    caller = Caller({"type": "http.request", "body": b"x", "more_body": False})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"x"
        caller.gone.set()
        await asyncio.Event().wait()

    await EndsWithItsCaller(app)(scope((b"content-length", b"1")), caller.receive, caller.send)


async def test_of_a_body_nothing_is_read_that_nobody_asked_for() -> None:
    caller = Caller(*({"type": "http.request", "body": b"x" * 1000, "more_body": True} for _ in range(1_000)))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for _ in range(10):
            await asyncio.sleep(0)
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body"})

    await EndsWithItsCaller(app)(scope((b"transfer-encoding", b"chunked")), caller.receive, caller.send)
    assert caller.n_read == 1
    assert caller.sent == ["http.response.start", "http.response.body"]


async def test_what_is_left_to_do_after_the_answer_is_done() -> None:
    caller = Caller()
    done = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal done
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body"})
        caller.gone.set()
        for _ in range(10):
            await asyncio.sleep(0)
        done = True

    await EndsWithItsCaller(app)(scope(), caller.receive, caller.send)
    assert done
