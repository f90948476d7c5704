"""How many messages a lane lets under way, after what was turned away and what was taken."""

from __future__ import annotations

import asyncio

import pytest

from actors.shard.loop import lane
from actors.shard.loop.lane import LEAST_UNDER_WAY, MAX_UNDER_WAY, MORE_UNDER_WAY, Lane
from whisperer.ids import TenantId


@pytest.fixture
async def one() -> Lane:
    return Lane(TenantId("t"), lambda _: None)


async def test_batches_that_are_turned_away_at_once_make_it_shorter_once(one: Lane) -> None:
    for _ in range(16):
        one.ended(is_taken=False)
    assert one.room == MAX_UNDER_WAY // 2


async def test_it_grows_by_little_so_that_few_are_made_in_vain(one: Lane) -> None:
    one.ended(is_taken=False)
    for _ in range(3):
        one.ended(is_taken=True)
    assert one.room == MAX_UNDER_WAY // 2 + 3 * MORE_UNDER_WAY
    for _ in range(MAX_UNDER_WAY):
        one.ended(is_taken=True)
    assert one.room == MAX_UNDER_WAY


async def test_a_provider_that_takes_none_has_few_that_wait_for_it(one: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "TURNED_AWAY_PAUSE_S", 0.0)
    for _ in range(10):
        one.ended(is_taken=False)
        await asyncio.sleep(0.001)
    assert one.room == LEAST_UNDER_WAY
