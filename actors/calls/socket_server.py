"""Serve direct calls into a process: a socket, in addition to Ray's calls, for callers on its own machine.

A call through Ray to an actor that waits costs both sides together 3 ms of CPU, whatever it carries; over a socket a
twentieth (docs/decisions.md). So calls made hundreds of times a second come here; everything else, and every caller on
another machine, goes through Ray. Guarantees: only a caller that got the token through Ray is served; a frame is
bounded.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from actors.calls.socket_frames import MOST_BYTES, MOST_TOKEN_BYTES, PREFIX, WELCOME, decode_request, frame
from whisperer.errors import UNREADABLE

Run = Callable[[list[tuple[str, str]], str, Callable[..., Awaitable[Any]], tuple[Any, ...]], Awaitable[Any]]
Methods = Mapping[str, Callable[..., Awaitable[Any]]]
"""What may be called: each method takes the head's arguments, and the tail where there is one."""

_log = logging.getLogger("whisperer.direct")


class DirectServer:
    """Listen on the socket ``path``; ``run`` is :meth:`actors.calls.call_log.Calls.run`. Use from one event loop."""

    def __init__(self, path: Path, methods: Methods, run: Run) -> None:
        self.token = secrets.token_hex(32)
        self.path = path
        self._methods = methods
        self._run = run
        self._server: asyncio.AbstractServer | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Listen; idempotent. Raises OSError when there cannot be a socket."""
        async with self._starting:
            if self._server is None:
                self.path.unlink(missing_ok=True)
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: _Caller(self), str(self.path))
                self.path.chmod(0o600)

    def close(self) -> None:
        """Accept no new callers; connected ones learn it from the answers to their calls."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)

    async def answer(self, request: memoryview, head_bytes: int) -> bytes:
        """Return the answer's frame. Raises one of :data:`UNREADABLE` for what is not a request."""
        number, traces, method, arguments = decode_request(request[:head_bytes])
        called = self._methods.get(method)
        if called is None:
            return frame((number, f"there is no {method!r} to call this way", None))
        if len(request) > head_bytes:
            arguments.append(request[head_bytes:])
        try:
            return frame((number, "", await self._run(traces, method, called, tuple(arguments))))
        except Exception as error:  # logged where it failed
            return frame((number, f"{type(error).__name__}: {error}", None))


class _Caller(asyncio.BufferedProtocol):
    """One connection; frames are read into the memory where they stay."""

    def __init__(self, server: DirectServer) -> None:
        self._server = server
        self._prefix = bytearray(PREFIX.size)
        self._buffer = self._prefix
        self._n = 0
        self._head_bytes = 0
        self._is_known = False
        self._answers: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._n :]

    def buffer_updated(self, nbytes: int) -> None:
        self._n += nbytes
        if self._n < len(self._buffer):
            return
        read, self._n = self._buffer, 0
        if read is self._prefix:
            n_bytes, self._head_bytes = PREFIX.unpack(read)
            if not 0 < self._head_bytes <= n_bytes <= (MOST_BYTES if self._is_known else MOST_TOKEN_BYTES):
                self._refuse("a frame of an impossible size")
                return
            self._buffer = bytearray(n_bytes)
            return
        self._buffer = self._prefix
        if self._is_known:
            task = asyncio.ensure_future(self._answer(memoryview(read), self._head_bytes))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        else:
            self._is_known = self._has_token(read)
            if self._is_known:
                self._transport.write(frame(WELCOME))

    def _has_token(self, read: bytearray) -> bool:
        try:
            token = msgspec.msgpack.decode(read, type=str)
        except UNREADABLE:
            token = ""
        if hmac.compare_digest(token.encode(), self._server.token.encode()):
            return True
        self._refuse("a caller without the token")
        return False

    async def _answer(self, request: memoryview, head_bytes: int) -> None:
        try:
            answer = await self._server.answer(request, head_bytes)
        except UNREADABLE:
            self._refuse("what is no request")
            return
        if not self._transport.is_closing():
            self._transport.write(answer)

    def _refuse(self, what: str) -> None:
        _log.warning("%s came over %s; the connection is closed", what, self._server.path.name)
        self._transport.abort()
