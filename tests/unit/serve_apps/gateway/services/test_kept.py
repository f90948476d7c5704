"""Answers that are dear to make: made once a minute, shared, bounded, and never waited for long by a page."""

from __future__ import annotations

import asyncio

import pytest

from serve_apps.gateway.services.kept import KEPT_S, MOST_KEPT_OF_ONE, Kept
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

ACME, OTHER = TenantId("tn_acme"), TenantId("tn_other")


class Stand:
    """A clock, and answers that count how often they were made; each waits until ``gate`` is open."""

    def __init__(self) -> None:
        self.now = 0
        self.kept: Kept[str] = Kept(lambda: self.now)
        self.n_made = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def make(self, now: int) -> str:
        self.n_made += 1
        await self.gate.wait()
        if self.fails:
            raise UnavailableError("the warehouse is away")
        return f"at {now}"


async def test_an_answer_is_made_once_a_minute_and_for_each_tenant_and_question() -> None:
    stand = Stand()
    assert await stand.kept.get(ACME, "a", stand.make) == "at 0"
    stand.now = round(KEPT_S * 1000) - 1
    assert await stand.kept.get(ACME, "a", stand.make) == "at 0"
    await stand.kept.get(ACME, "b", stand.make)
    await stand.kept.get(OTHER, "a", stand.make)
    assert stand.n_made == 3
    stand.now += 1
    assert await stand.kept.get(ACME, "a", stand.make) == "at 60000"


async def test_who_asks_meanwhile_shares_the_answer() -> None:
    stand = Stand()
    stand.gate.clear()
    asking = [asyncio.ensure_future(stand.kept.get(ACME, "a", stand.make)) for _ in range(5)]
    await asyncio.sleep(0)
    stand.gate.set()
    assert set(await asyncio.gather(*asking)) == {"at 0"}
    assert stand.n_made == 1


async def test_a_failure_is_not_kept() -> None:
    stand = Stand()
    stand.fails = True
    for ask in (stand.kept.get, stand.kept.soon):
        with pytest.raises(UnavailableError):
            await ask(ACME, "a", stand.make)
    stand.fails = False
    assert await stand.kept.get(ACME, "a", stand.make) == "at 0"


async def test_what_takes_long_is_made_all_the_same_and_once() -> None:
    stand = Stand()
    stand.gate.clear()
    for _ in range(3):
        assert await stand.kept.soon(ACME, "a", stand.make, within_s=0.0) is None
    stand.gate.set()
    assert await stand.kept.soon(ACME, "a", stand.make) == "at 0"
    assert stand.n_made == 1


async def test_one_tenants_questions_do_not_displace_anothers_answers() -> None:
    stand = Stand()
    await stand.kept.get(OTHER, "a", stand.make)
    for n in range(10 * MOST_KEPT_OF_ONE):
        await stand.kept.get(ACME, str(n), stand.make)
    made = stand.n_made
    await stand.kept.get(OTHER, "a", stand.make)
    await stand.kept.get(ACME, str(10 * MOST_KEPT_OF_ONE - 1), stand.make)
    assert stand.n_made == made
    await stand.kept.get(ACME, "0", stand.make)
    assert stand.n_made == made + 1
