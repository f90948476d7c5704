"""Flushes are shared and apart, and each caller's is of after the call."""

from __future__ import annotations

import asyncio

import pytest

from actors.shard.flushing import Flushing


async def test_callers_who_come_while_one_waits_share_it_and_no_caller_gets_one_that_had_begun() -> None:
    begun: list[int] = []
    go = asyncio.Event()
    n_acknowledged = 0

    async def flush() -> None:
        begun.append(n_acknowledged)
        await go.wait()

    flushing = Flushing(flush, every_s=0.05)
    first = asyncio.ensure_future(flushing.done())
    await asyncio.sleep(0.01)
    assert begun == [0]
    n_acknowledged = 7
    others = [asyncio.ensure_future(flushing.done()) for _ in range(20)]
    others[0].cancel()
    go.set()
    await asyncio.gather(first, *others[1:])
    assert begun == [0, 7]


async def test_a_flush_that_fails_fails_for_those_who_asked_for_it_alone() -> None:
    outcomes = [OSError("full"), None]

    async def flush() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    flushing = Flushing(flush, every_s=0.0)
    with pytest.raises(OSError, match="full"):
        await flushing.done()
    await flushing.done()
