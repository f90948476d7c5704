from __future__ import annotations

import asyncio

from actors.shard.loop.call_pacing import CallPacing


async def test_nothing_waits_while_nothing_is_under_way() -> None:
    pacing = CallPacing(lambda: None)
    assert pacing.may_go(0, is_full=False)
    assert pacing.may_go(0, is_full=False)


async def test_a_call_beside_another_waits_for_company_and_is_asked_again() -> None:
    worth_it = asyncio.Event()
    pacing = CallPacing(worth_it.set)
    assert pacing.may_go(0, is_full=False)
    assert not pacing.may_go(1, is_full=False)
    async with asyncio.timeout(10.0):
        await worth_it.wait()
    assert pacing.may_go(1, is_full=False)


async def test_a_full_batch_goes_at_once() -> None:
    pacing = CallPacing(lambda: None)
    assert pacing.may_go(0, is_full=False)
    assert pacing.may_go(1, is_full=True)


async def test_calls_are_kept_apart_where_they_are_to_be_also_while_nothing_is_under_way() -> None:
    worth_it = asyncio.Event()
    pacing = CallPacing(worth_it.set, apart_s=0.02)
    assert pacing.may_go(0, is_full=False)
    assert not pacing.may_go(0, is_full=False)
    assert pacing.may_go(0, is_full=True)
    assert not pacing.may_go(0, is_full=False)
    async with asyncio.timeout(10.0):
        while not pacing.may_go(0, is_full=False):
            await worth_it.wait()
            worth_it.clear()
