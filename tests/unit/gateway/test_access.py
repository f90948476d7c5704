"""Whom a key speaks for, and when a revoked one stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from serve_apps.gateway.access import Access
from tests.unit.gateway.world import OPERATOR, World


@asynccontextmanager
async def watching(access: Access, on_change: Callable[[], object]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(access.watch(on_change))  # type: ignore[arg-type]
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)


def is_healthy(access: Access) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return access.healthy

    return looked


def is_refused(access: Access, key: str) -> Callable[[], Awaitable[bool]]:
    async def looked() -> bool:
        return await access.find(key) is None

    return looked


async def test_a_revoked_key_stops_while_a_shard_is_away(world: World) -> None:
    tenant = world.plane.create_tenant("acme")
    keys = [world.plane.create_key(tenant.id, "secret").key for _ in range(2)]
    access = Access(world.plane, OPERATOR, 0.0)
    told = 0

    async def tell() -> None:
        nonlocal told
        told += 1
        if told > 1:
            await asyncio.Event().wait()  # a shard that does not come back

    async with watching(access, tell):
        await until(is_healthy(access))
        for key in keys:  # the second while the first change is still being told
            assert await access.find(key) is not None
            world.plane.revoke_key(key)
            await until(is_refused(access, key))


async def test_what_did_not_reach_a_shard_is_told_again(world: World) -> None:
    access = Access(world.plane, OPERATOR, 0.0)
    told = 0

    async def tell() -> None:
        nonlocal told
        told += 1
        if told < 3:
            raise ConnectionError

    async with watching(access, tell):
        await until(is_healthy(access))
        assert told == 3
