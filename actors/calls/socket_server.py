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

from actors.calls.socket_frames import (
    MOST_BYTES,
    MOST_TOKEN_BYTES,
    NO_SUCH_CALL,
    PREFIX,
    WELCOME,
    decode_request,
    frame,
)
from whisperer.errors import UNREADABLE

Run = Callable[[list[tuple[str, str]], str, Callable[..., Awaitable[Any]], tuple[Any, ...]], Awaitable[Any]]
Methods = Mapping[str, Callable[..., Awaitable[Any]]]
"""What may be called: each method takes the head's arguments, and the tail where there is one."""

READ_BYTES = 64 << 10
"""Read at once from a caller."""

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
            return frame((number, f"{NO_SUCH_CALL}{method!r} to call this way", None))
        if len(request) > head_bytes:
            arguments.append(request[head_bytes:])
        try:
            return frame((number, "", await self._run(traces, method, called, tuple(arguments))))
        except Exception as error:  # logged where it failed
            return frame((number, f"{type(error).__name__}: {error}", None))


class _Caller(asyncio.BufferedProtocol):
    """One connection. Small frames are read together and copied; a large one is read into the memory where it stays.

    Answers that are ready in one turn of the loop are written together.
    """

    def __init__(self, server: DirectServer) -> None:
        self._server = server
        self._small = bytearray(READ_BYTES)
        self._buffer = self._small
        self._n = 0
        """Bytes in the buffer."""
        self._is_known = False
        self._answers: set[asyncio.Task[None]] = set()
        self._ready: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._n :]

    def buffer_updated(self, nbytes: int) -> None:
        self._n += nbytes
        start = 0
        while self._n - start >= PREFIX.size:
            n_bytes, head_bytes = PREFIX.unpack_from(self._buffer, start)
            if not 0 < head_bytes <= n_bytes <= (MOST_BYTES if self._is_known else MOST_TOKEN_BYTES):
                self._refuse("a frame of an impossible size")
                return
            begin, end = start + PREFIX.size, start + PREFIX.size + n_bytes
            if end > self._n:
                if end - start > len(self._small):
                    if self._buffer is self._small:
                        self._read_on_in(bytearray(end - start), start)
                    return
                break
            is_large = self._buffer is not self._small
            if not self._take(memoryview(self._buffer if is_large else self._buffer[begin:end])[-n_bytes:], head_bytes):
                return
            start = end
        self._read_on_in(self._small, start)

    def _read_on_in(self, buffer: bytearray, start: int) -> None:
        """Read on in ``buffer``, which begins with what is there from ``start``."""
        left = self._n - start
        buffer[:left] = self._buffer[start : self._n]
        self._buffer, self._n = buffer, left

    def _take(self, read: memoryview, head_bytes: int) -> bool:
        """Take a whole frame; False ends the connection."""
        if not self._is_known:
            self._is_known = self._has_token(read)
            if self._is_known:
                self._transport.write(frame(WELCOME))
            return self._is_known
        task = asyncio.ensure_future(self._answer(read, head_bytes))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        return True

    def _has_token(self, read: memoryview) -> bool:
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
        if not self._ready:
            asyncio.get_running_loop().call_soon(self._write)
        self._ready.append(answer)

    def _write(self) -> None:
        ready, self._ready = self._ready, []
        if not self._transport.is_closing():
            self._transport.writelines(ready)

    def _refuse(self, what: str) -> None:
        _log.warning("%s came over %s; the connection is closed", what, self._server.path.name)
        self._transport.abort()
