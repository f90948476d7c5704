"""Does in one call what was asked for while the call before was under way, for a file that commits each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Together(Generic[Asked, Answer]):
    """Collects what is asked for, and has ``call`` answer it in a thread, one call at a time. Use from one event loop.

    ``call`` gives an answer for each, in order; what it raises, everybody in that call is told.
    """

    def __init__(self, call: Callable[[list[Asked]], Sequence[Answer]], *, most: int) -> None:
        self._call = call
        self._most = most
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._calling: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer. Raises what the call raised."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._calling is None:
            self._calling = asyncio.ensure_future(self._run())
        return await answer

    async def _run(self) -> None:
        await asyncio.sleep(0)  # the rest of the batch
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                answers = await asyncio.to_thread(self._call, [asked for asked, _ in batch])
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), said in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(said)
        self._calling = None
