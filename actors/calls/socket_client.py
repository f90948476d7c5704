"""Make direct calls to a process, the caller's side: one connection, many calls under way.

Guarantees: a call ends with its answer, with ConnectionError when the connection is lost (it may or may not have been
done), or when its caller cancels it. Leaves to others: when to use it, and what to do after a failure
(:mod:`actors.calls.shards`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, cast

from actors.calls.socket_frames import MOST_BYTES, NO_SUCH_CALL, PREFIX, WELCOME, decode_answer, frame
from whisperer.errors import UNREADABLE, ProcessError

CONNECT_TIMEOUT_S = 5.0


class CallFailedError(ProcessError):
    """The method raised; the text is that of its error."""


class NoSuchCallError(CallFailedError):
    """The other side has no such method to call this way: it is of another release."""


class DirectConnection(asyncio.Protocol):
    """Carry calls over one connection, made by :func:`connect`. Use from one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._received = bytearray()
        self._parts: list[bytes] = []
        self.is_open = False
        self._is_left = False
        self.lacks: set[str] = set()
        """Methods that the other side was found not to have."""

    async def call(
        self, traces: list[tuple[str, str]], method: str, arguments: list[Any], tail: Sequence[bytes] = ()
    ) -> Any:
        """Return what the method answers. Raises ConnectionError, CallFailedError."""
        number = next(self._numbers)
        return await self._ask(number, [frame((number, traces, method, arguments), sum(map(len, tail))), *tail])

    async def greet(self, token: str) -> None:
        """Send the token, before any call. Raises ConnectionError when it is not the right one."""
        await self._ask(WELCOME[0], [frame(token)])

    async def _ask(self, number: int, parts: Sequence[bytes]) -> Any:
        if not self.is_open:
            raise ConnectionResetError("the socket is closed")
        loop = asyncio.get_running_loop()
        answered = self._waiting[number] = loop.create_future()
        if not self._parts:
            loop.call_soon(self._write)
        self._parts += parts
        try:
            return await answered
        finally:
            self._waiting.pop(number, None)
            if self._is_left:
                self.leave()

    def _write(self) -> None:
        """Write the calls of this turn of the loop together."""
        parts, self._parts = self._parts, []
        if self.is_open:
            self._transport.writelines(parts)

    def leave(self) -> None:
        """Close as soon as no call is under way: nobody will make another."""
        self._is_left = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close at once; calls under way fail."""
        self.is_open = False
        self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(ConnectionResetError("the socket was closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= PREFIX.size:
            n_bytes, _ = PREFIX.unpack_from(self._received)
            end = PREFIX.size + n_bytes
            if n_bytes > MOST_BYTES:
                self.close()
                return
            if len(self._received) < end:
                return
            try:
                number, failure, answer = decode_answer(bytes(self._received[PREFIX.size : end]))
            except UNREADABLE:  # the other side does not speak our protocol: callers see a lost connection
                self.close()
                return
            del self._received[:end]
            answered = self._waiting.get(number)
            if answered is None or answered.done():
                continue
            if failure:
                missing = failure.startswith(NO_SUCH_CALL)
                answered.set_exception(NoSuchCallError(failure) if missing else CallFailedError(failure))
            else:
                answered.set_result(answer)


async def connect(path: str, token: str) -> DirectConnection:
    """Connect to a process. Raises OSError when nobody there knows the token: wrong machine, or the process is gone."""
    _, connection = await asyncio.get_running_loop().create_unix_connection(DirectConnection, path)
    await asyncio.wait_for(connection.greet(token), CONNECT_TIMEOUT_S)
    return connection
