"""Call a Serve application: send batches of values, get answers in order or as they become known.

An answer that does not come is an UnavailableError, whatever went wrong on the other side: the caller keeps its
questions and asks again. Serve is imported when the first call is made, so that recovery does not wait for it.

A replica that has a socket is called over it by the shards on its machine, at a twentieth of the cost of a call through
Serve. Serve still chooses the replica: it is asked again now and then, so that load follows the replicas there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

import msgspec

from actors.calls.socket_client import DirectConnection, connect
from whisperer.errors import UnavailableError

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")

LOOK_EVERY_S, LOOK_WITHIN_S = 10.0, 5.0

_log = logging.getLogger(__name__)


class Application(Generic[Asked, Answered]):
    """Call one method of a Serve deployment. Use from one event loop.

    ``method`` of ``deployment`` takes and returns msgpack lists; ``answers`` is the type of what comes back. With
    ``has_socket``, its method `direct_way` returns the path and token of a socket, or None where it has none, and
    replicas serve ``method`` there too.
    """

    def __init__(
        self, name: str, deployment: str, method: str, answers: Any, timeout_s: float, *, has_socket: bool = False
    ) -> None:
        self._name, self._deployment, self._method = name, deployment, method
        self._decode = msgspec.msgpack.Decoder(answers).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._timeout_s = timeout_s
        self._handle: Any = None
        self._has_socket = has_socket
        self._way: tuple[str, str] | None = None
        self._direct: DirectConnection | None = None
        self._look_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_direct(self) -> bool:
        """Report whether the next call goes over a socket: it is then cheap, however small."""
        return self._direct is not None and self._direct.is_open

    async def call(self, batch: list[Asked]) -> list[Answered]:
        """Return the application's answers to the batch. Raises UnavailableError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._find_once()
                direct, encoded = await self._direct_way(), self._encode(batch)
                if direct is None:
                    answer = await self._handle.remote(encoded)
                else:
                    answer = await direct.call([], self._method, [], [encoded])
                answered: list[Answered] = self._decode(answer)
        except Exception as error:
            raise self._unavailable(error) from error
        return answered

    async def stream(self, batch: list[Asked]) -> AsyncIterator[list[Answered]]:
        """Yield the application's answers to the batch in lists, as they become known; through Serve.

        ``timeout_s`` is the longest silence. Raises UnavailableError; what was yielded before it stands.
        """
        answers: Any = None
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._find_once()
                    answers = self._handle.options(method_name=self._method, stream=True).remote(self._encode(batch))
            except Exception as error:
                raise self._unavailable(error) from error
            while True:
                try:
                    async with asyncio.timeout(self._timeout_s):
                        answered = self._decode(await anext(answers))
                except StopAsyncIteration:
                    answers = None
                    return
                except Exception as error:
                    raise self._unavailable(error) from error
                yield answered
        finally:
            if answers is not None:  # nobody listens any more
                answers.cancel()

    def close(self) -> None:
        """Close the socket; calls under way on it fail."""
        if self._looking is not None:
            self._looking.cancel()
        if self._direct is not None:
            self._direct.close()

    def _unavailable(self, error: Exception) -> UnavailableError:
        _log.info("%s does not answer: %r", self._name, error)
        return UnavailableError(f"the application {self._name} does not answer", retry_after_s=1.0)

    async def _find_once(self) -> None:
        if self._handle is None:
            found = await asyncio.to_thread(self._find)
            # In the event loop, where its router will live; by option: handles have attributes of their own.
            self._handle = found.options(method_name=self._method)

    def _find(self) -> Any:
        from ray import serve

        return serve.get_deployment_handle(self._deployment, app_name=self._name)

    async def _direct_way(self) -> DirectConnection | None:
        """Return the socket, if there is one; wait for it only where there was none before, or it was lost."""
        if not self._has_socket:
            return None
        is_lost = self._direct is not None and not self._direct.is_open
        if self._looking is None and (is_lost or asyncio.get_running_loop().time() >= self._look_at):
            self._looking = asyncio.ensure_future(self._look())
        if not self.is_direct and self._looking is not None:
            await asyncio.shield(self._looking)
        return self._direct if self.is_direct else None

    async def _look(self) -> None:
        """Ask Serve for a replica, and switch to its socket."""
        before = self._direct
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                way = await self._handle.options(method_name="direct_way").remote()
                if way != self._way or not self.is_direct:
                    self._direct, self._way = None if way is None else await connect(*way), way
        except Exception as error:
            _log.info("%s is called through Serve: its socket cannot be used (%r)", self._name, error)
            self._direct = self._way = None
        finally:
            if before is not None and before is not self._direct:
                before.leave()
            self._look_at = asyncio.get_running_loop().time() + LOOK_EVERY_S
            self._looking = None
