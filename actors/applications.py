"""Calls from a shard actor to a Serve application: batches of values there and back, in order.

An answer that does not come is an UnavailableError whatever went wrong over there: the caller keeps what it asked and
asks again. Serve is imported when the first call is made, so that recovery does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Generic, TypeVar

import msgspec

from whisperer.errors import UnavailableError

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")

_log = logging.getLogger(__name__)


class Application(Generic[Asked, Answered]):
    """``method`` of ``deployment`` takes and gives msgpack lists; ``answers`` is the type of what comes back."""

    def __init__(self, name: str, deployment: str, method: str, answers: Any, timeout_s: float) -> None:
        self._name, self._deployment, self._method = name, deployment, method
        self._decode = msgspec.msgpack.Decoder(answers).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._timeout_s = timeout_s
        self._handle: Any = None

    async def call(self, batch: list[Asked]) -> list[Answered]:
        """What the application says to the batch. Raises UnavailableError."""
        try:
            if self._handle is None:
                found = await asyncio.to_thread(self._find)
                # In the event loop, where its router will live; by option: handles have attributes of their own.
                self._handle = found.options(method_name=self._method)
            async with asyncio.timeout(self._timeout_s):
                answered: list[Answered] = self._decode(await self._handle.remote(self._encode(batch)))
        except Exception as error:
            _log.info("%s does not answer: %r", self._name, error)
            raise UnavailableError(f"the application {self._name} does not answer", retry_after_s=1.0) from error
        return answered

    def _find(self) -> Any:
        from ray import serve

        return serve.get_deployment_handle(self._deployment, app_name=self._name)
