"""A socket that says anything, in pieces of any size: whoever lacks the token is served nothing, and neither side fails."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

from actors.calls.socket_client import DirectConnection
from actors.calls.socket_frames import PREFIX, frame
from actors.calls.socket_server import DirectServer, _Caller

TOKEN = "t" * 64
WORDS = (TOKEN, "add")


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def writelines(self, parts: list[bytes]) -> None:
        self.written.extend(parts)

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted


def seeds() -> list[bytes]:
    ask = frame((1, [], "add", [2, 3]))
    return [
        b"\x00\xff" + frame(TOKEN) + ask,
        b"\x00\x01" + frame(TOKEN) + ask + frame((2, [("a", "b")], "add", []), 3) + b"abc",
        b"\x00\xff" + frame("wrong") + ask,
        b"\x01\xff" + frame((1, "", 5)),
        b"\x01\x02" + frame((1, "failed", None)),
    ]


def attack(data: bytes) -> Hashable:
    if len(data) < 2:
        return None
    side, at_once, said = data[0] % 2, max(1, data[1]), data[2:]
    loop = asyncio.new_event_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        outcome = loop.run_until_complete((_to_server if side == 0 else _to_client)(said, at_once))
    finally:
        loop.close()
    assert not failures, failures
    return outcome


async def _to_server(said: bytes, at_once: int) -> Hashable:
    called: list[tuple[Any, ...]] = []

    async def add(*arguments: Any) -> int:
        called.append(arguments)
        return len(arguments)

    async def run(traces: Any, method: str, function: Any, arguments: tuple[Any, ...]) -> Any:
        return await function(*arguments)

    server = DirectServer(Path("nowhere"), {"add": add}, run)
    server.token = TOKEN
    caller, wire = _Caller(server), Wire()
    caller.connection_made(cast(asyncio.Transport, wire))
    while said and not wire.is_aborted:
        room = caller.get_buffer(-1)
        n = min(len(room), at_once, len(said))
        room[:n] = said[:n]
        said = said[n:]
        caller.buffer_updated(n)
    await asyncio.sleep(0)
    await asyncio.gather(*caller._answers)
    assert not called or wire.written[0] == frame((0, "", None))
    return wire.is_aborted, len(wire.written), len(called)


async def _to_client(said: bytes, at_once: int) -> Hashable:
    connection, wire = DirectConnection(), Wire()
    connection.connection_made(cast(asyncio.Transport, wire))
    asked = asyncio.ensure_future(connection.call([], "add", [1]))
    await asyncio.sleep(0)
    while said and not wire.is_aborted:
        connection.data_received(said[:at_once])
        said = said[at_once:]
    if not asked.done():
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.gather(asked, return_exceptions=True)
    return wire.is_aborted, type(asked.exception()).__name__


assert PREFIX.size == 8
