"""Jobs done without processes: a function in place of each, which a test holds or lets fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path

from actors.jobs import LANES, Jobs, Lane, Task, tasks
from actors.jobs.carrying_out import carry_out

Do = Callable[[Task], Awaitable[list[bytes]]]


async def carried_out(task: Task) -> list[bytes]:
    """As a process would, in a thread."""
    return await asyncio.to_thread(lambda: list(carry_out(task)))


class Here:
    def __init__(self, do: Do) -> None:
        self._do = do

    async def answers(self, task: bytes) -> AsyncGenerator[bytes]:
        for piece in await self._do(tasks.decode(task)):
            yield piece

    def kill(self) -> None:
        pass


def jobs_here(folder: Path, do: Do = carried_out, lanes: Mapping[type[Task], Lane] = LANES) -> Jobs:
    async def begin(lane: Lane) -> Here:
        return Here(do)

    return Jobs(folder, lanes, begin)
