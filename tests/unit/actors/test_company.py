from __future__ import annotations

import asyncio

from actors.company import Company


async def test_nothing_waits_while_nothing_is_under_way() -> None:
    company = Company(lambda: None)
    assert company.may_go(0, is_full=False)
    assert company.may_go(0, is_full=False)


async def test_a_call_beside_another_waits_for_company_and_is_asked_again() -> None:
    worth_it = asyncio.Event()
    company = Company(worth_it.set)
    assert company.may_go(0, is_full=False)
    assert not company.may_go(1, is_full=False)
    async with asyncio.timeout(10.0):
        await worth_it.wait()
    assert company.may_go(1, is_full=False)


async def test_a_full_batch_goes_at_once() -> None:
    company = Company(lambda: None)
    assert company.may_go(0, is_full=False)
    assert company.may_go(1, is_full=True)
