"""Lanes end when they are told to, whatever a client makes of being cancelled."""

from __future__ import annotations

import asyncio
from collections import Counter

from cluster.importing.chunk import MappedChunk, Outgoing, Reject
from cluster.importing.lanes import Lanes


def chunk(n: int) -> MappedChunk:
    events = [Outgoing(row=row, user=f"u{row}", message_id=f"m{row}", body=b"{}") for row in range(n)]
    return MappedChunk(n, events, Counter(), [])


async def test_a_client_that_swallows_being_cancelled_does_not_keep_the_lanes_alive() -> None:
    sending = asyncio.Event()

    async def send(events: list[Outgoing]) -> list[Reject]:
        sending.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(len(events))
            if len(swallowed) > 2:  # once in each lane
                raise
        return []  # the answer came at the same moment

    settled: list[int] = []
    swallowed: list[int] = []
    lanes = Lanes(2, 1, send, lambda events, rejects: settled.append(len(events)))
    running = asyncio.ensure_future(lanes.run(iter([chunk(20)]), lambda: 0))
    await sending.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=2)
    assert running.cancelled()
    assert settled == [1, 1]  # what was answered counts
