"""Keeps order under concurrency: events of one user travel in one lane, and a lane sends one batch after another.

So rows of one user arrive in file order while several requests are under way. Rows of different users may overtake each
other; with one lane the whole file arrives in order. Queues are bounded, so a slow gateway slows the reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from zlib import crc32

from .chunk import MappedChunk, Outgoing, Reject

MAX_BODY_BYTES = 450_000  # below the 475,000 that SDKs keep to and the 500 KB that the gateway accepts
MAX_OPEN_CHUNKS = 8
_QUEUED_BATCHES = 2

Send = Callable[[list[Outgoing]], Awaitable[list[Reject]]]
Settle = Callable[[list[Outgoing], list[Reject]], None]


class Lanes:
    """``send`` sends a batch and returns its rejects; ``settle`` is called for every batch answered."""

    def __init__(self, n_lanes: int, batch: int, send: Send, settle: Settle) -> None:
        self._batch = batch
        self._send = send
        self._settle = settle
        self._buffers: list[list[Outgoing]] = [[] for _ in range(n_lanes)]
        self._queues: list[asyncio.Queue[list[Outgoing] | None]] = [
            asyncio.Queue(_QUEUED_BATCHES) for _ in range(n_lanes)
        ]

    async def run(self, chunks: Iterator[MappedChunk], n_open: Callable[[], int]) -> None:
        """Send everything; the first failure of a lane ends all lanes.

        ``n_open`` returns how many chunks wait for answers. Beyond a bound, half-full batches are sent too, so that a
        lane with few users does not hold the checkpoint back.
        """
        n_lanes = len(self._buffers)
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._drain(queue))
            for chunk in chunks:
                for event in chunk.events:
                    self._buffers[crc32(event.user.encode("utf-8", "surrogatepass")) % n_lanes].append(event)
                await self._hand_over(everything=n_open() > MAX_OPEN_CHUNKS)
                await asyncio.sleep(0)  # reading is synchronous: let answers be processed
            await self._hand_over(everything=True)
            for queue in self._queues:
                await queue.put(None)

    async def _hand_over(self, *, everything: bool) -> None:
        """Queue the full batches of all lanes, one from each in turn, so that no lane waits for another's queue."""
        least = 1 if everything else self._batch
        starts = [0] * len(self._buffers)
        waiting = [lane for lane, buffer in enumerate(self._buffers) if len(buffer) >= least]
        while waiting:
            for lane in waiting:
                start = starts[lane]
                starts[lane] = end = self._end_of_batch(self._buffers[lane], start)
                await self._queues[lane].put(self._buffers[lane][start:end])
            waiting = [lane for lane in waiting if len(self._buffers[lane]) - starts[lane] >= least]
        for buffer, start in zip(self._buffers, starts, strict=True):
            del buffer[:start]

    def _end_of_batch(self, buffer: list[Outgoing], start: int) -> int:
        """Return where the batch that begins at ``start`` ends, limited by count and bytes, with at least one event."""
        size = 0
        for end in range(start, min(len(buffer), start + self._batch)):
            size += len(buffer[end].body) + 1
            if size > MAX_BODY_BYTES and end > start:
                return end
        return min(len(buffer), start + self._batch)

    async def _drain(self, queue: asyncio.Queue[list[Outgoing] | None]) -> None:
        while (events := await queue.get()) is not None:
            self._settle(events, await self._send(events))
            raise_if_cancelled()


def raise_if_cancelled() -> None:
    """Raise CancelledError if this task was cancelled: an HTTP client may swallow that, and nobody says it twice."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
