"""Whom a key speaks for, and when a revoked one stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import pytest

from cluster.control_plane import keys as keys_of
from serve_apps.gateway.http import access as access_of
from serve_apps.gateway.http.access import Access
from tests.support.gateway_world import OPERATOR, World


@asynccontextmanager
async def watching(access: Access, on_change: Callable[[Collection[str] | None], object]) -> AsyncIterator[None]:
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

    async def tell(_: object) -> None:
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

    async def tell(_: object) -> None:
        nonlocal told
        told += 1
        if told < 3:
            raise ConnectionError

    async with watching(access, tell):
        await until(is_healthy(access))
        assert told == 3


async def test_what_one_tenant_changes_makes_nobody_ask_for_another_s_key_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    often, quiet = (world.plane.create_tenant(name) for name in ("often", "quiet"))
    keys = {tenant.id: world.plane.create_key(tenant.id, "write").key for tenant in (often, quiet)}
    access = Access(world.plane, OPERATOR, 0.0)
    asked: list[str] = []
    read: list[str] = []
    find_key, published = world.plane.find_key, world.plane.published
    monkeypatch.setattr(world.plane, "find_key", lambda key: (asked.append(key), find_key(key))[1])
    monkeypatch.setattr(world.plane, "published", lambda tenant: (read.append(tenant), published(tenant))[1])
    told: list[Collection[str] | None] = []

    async def tell(tenants: Collection[str] | None) -> None:
        await world.parts.publishing.spread(tenants)
        told.append(tenants)

    async with watching(access, tell):
        await until(is_healthy(access))
        assert told == [None]  # at the start, everybody's
        for key in (*keys.values(), "wk_nobodys"):
            await access.find(key)
        n_asked = len(asked)
        read.clear()
        world.shards.calls.clear()
        for n in range(5):
            version = world.plane.version()
            world.plane.publish_segment(often.id, f"s{n}", {"event": "Paid", "op": "gte", "count": 1, "days": 7})
            await until(lambda version=version: past(access, version))  # type: ignore[misc]
            for key in (*keys.values(), "wk_nobodys"):
                await access.find(key)
        await until(lambda: all_told(told, 2))
        assert len(asked) == n_asked
        assert set(read) == {often.id}
        assert {call[2] for call in world.shards.called("publish")} == {often.id}
        made = world.plane.create_key(quiet.id, "write")
        assert (await access.find(made.key)) is not None
        world.plane.revoke_key(keys[quiet.id])
        await until(is_refused(access, keys[quiet.id]))
        assert await access.find(keys[often.id]) is not None
        assert keys[often.id] not in asked[n_asked:]


async def past(access: Access, version: int) -> bool:
    return access._version > version


async def all_told(told: list[object], n: int) -> bool:
    return len(told) >= n


async def test_keys_that_nobody_has_take_no_place_of_those_that_somebody_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = world.plane.create_tenant("acme")
    key = world.plane.create_key(tenant.id, "write").key
    monkeypatch.setattr(access_of, "MAX_REMEMBERED", 10)
    access = Access(world.plane, OPERATOR, 0.0)
    await access.find(key)
    for n in range(30):
        assert await access.find(f"wk_{n}") is None
    monkeypatch.setattr(world.plane, "find_key", lambda _: None)
    assert await access.find(key) is not None


async def test_a_key_that_was_unknown_is_known_once_it_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = world.plane.create_tenant("acme")
    monkeypatch.setattr(keys_of, "new_key", lambda kind: "wk_" + "7" * 40)
    access = Access(world.plane, OPERATOR, 0.0)

    async def tell(_: object) -> None:
        return None

    async def is_found() -> bool:
        return await access.find("wk_" + "7" * 40) is not None

    async with watching(access, tell):
        await until(is_healthy(access))
        assert not await is_found()
        world.plane.create_key(tenant.id, "write")
        await until(is_found)
