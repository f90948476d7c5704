"""Calls are limited by key and tenant, as the tenant's tier says, and answers say where the caller stands."""

from __future__ import annotations

import asyncio

import pytest

from actors.limiter import Ask, Lease, Limiter
from cluster.control_plane.models import TenantSettingsRow
from cluster.control_plane.transactions import now_ms
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.rates import CallRates, Tiers
from tests.support.gateway_world import OPERATOR, Caller, World
from whisperer.access.costs import COSTS, cost_of
from whisperer.access.permissions import Permission
from whisperer.settings import TierSettings

FREE = TierSettings(tenant_calls_per_s=10, key_calls_per_s=4)


@pytest.fixture
def limited(world: World, monkeypatch: pytest.MonkeyPatch) -> Access:
    """The world with limits for the tier `free`, and none for who is in no tier."""
    limiter = Limiter()

    async def lease(asks: list[Ask]) -> list[Lease]:
        return limiter.lease(asks, 100.0)

    async def no_time(_: float) -> None: ...

    limits = Limits(lease, clock=lambda: 100.0, sleep=no_time)  # time stands still: a slow machine refills nothing
    access = Access(world.plane, OPERATOR, 0.0, tiers=Tiers(named={"free": FREE}), call_rates=CallRates(limits))
    world.parts.access = access
    return access


def put_into_tier(world: World, tenant_id: str, tier: str | None) -> None:
    with world.plane._writing() as session:
        row = session.get(TenantSettingsRow, tenant_id)
        if row is None:
            row = TenantSettingsRow(
                tenant_id=tenant_id, approval=False, second_factor=False, origins=[], changed_at=now_ms()
            )
            session.add(row)
        row.tier = tier


async def seen(access: Access) -> None:
    async def spread(_: object) -> None: ...

    watching = asyncio.ensure_future(access.watch(spread))
    async with asyncio.timeout(30):
        while access._version != access._plane.version():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_who_is_in_no_tier_has_no_limit_and_no_headers(limited: Access, acme: Caller) -> None:
    await seen(limited)
    for _ in range(50):
        answer = await acme("GET", "/campaigns")
        assert answer.status_code == 200
    assert "ratelimit" not in answer.headers


async def test_a_key_over_its_rate_is_told_when_to_come_back(limited: Access, world: World, acme: Caller) -> None:
    put_into_tier(world, acme.id, "free")
    await seen(limited)
    answers = [await acme("GET", "/campaigns") for _ in range(9)]
    assert [answer.status_code for answer in answers[:8]] == [200] * 8
    refused = answers[8]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert answers[0].headers["ratelimit-policy"] == '"key-calls";q=8;w=2, "calls";q=20;w=2'
    assert answers[0].headers["ratelimit"].startswith('"key-calls";r=7;t=')
    assert '"key-calls";r=0' in refused.headers["ratelimit"]


async def test_many_keys_share_their_tenant_s_rate_and_others_have_theirs(
    limited: Access, world: World, acme: Caller
) -> None:
    globex = world.tenant("globex")
    for caller in (acme, globex):
        put_into_tier(world, caller.id, "free")
    await seen(limited)
    keys = [world.plane.create_key(acme.id, "secret").key for _ in range(5)]
    statuses = [
        (await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {key}"})).status_code
        for _ in range(6)
        for key in keys
    ]
    assert 19 <= statuses.count(200) <= 21
    assert (await globex("GET", "/campaigns")).status_code == 200


async def test_what_costs_more_takes_more(limited: Access, world: World, acme: Caller) -> None:
    put_into_tier(world, acme.id, "free")
    await seen(limited)
    first = await acme("GET", "/users/nobody/export")
    assert first.status_code != 429
    assert '"key-calls";r=0' in first.headers["ratelimit"]
    assert (await acme("GET", "/campaigns")).status_code == 429


async def test_an_environment_is_under_its_tenant_s_tier_and_a_change_is_noticed(
    limited: Access, world: World, acme: Caller
) -> None:
    test = world.tenant("acme.test")
    with world.plane._writing() as session:
        from cluster.control_plane.models import TenantRow

        session.get_one(TenantRow, test.id).environment_of = acme.id
    put_into_tier(world, acme.id, "free")
    await seen(limited)
    assert limited.tier(test.id) == limited.tier(acme.id) == FREE  # type: ignore[arg-type]
    put_into_tier(world, acme.id, None)
    await seen(limited)
    assert limited.tier(test.id) == limited.tier(acme.id) == TierSettings()  # type: ignore[arg-type]


async def test_origins_that_a_tenant_names_are_known_and_forgotten(limited: Access, world: World, acme: Caller) -> None:
    world.plane.set_tenant_settings(acme.id, origins=["https://app.example.com"])
    await seen(limited)
    assert limited.is_known_origin(b"https://app.example.com")
    assert not limited.is_known_origin(b"https://app.example.co")
    world.plane.set_tenant_settings(acme.id, origins=[])
    await seen(limited)
    assert not limited.is_known_origin(b"https://app.example.com")


async def test_the_operator_is_not_limited(limited: Access, world: World, acme: Caller) -> None:
    put_into_tier(world, acme.id, "free")
    await seen(limited)
    operator = world.operator(acme)
    assert {(await operator("GET", "/campaigns")).status_code for _ in range(40)} == {200}


def test_costs_are_whole_tokens() -> None:
    assert all(cost > 1 for cost in COSTS.values())
    assert cost_of(Permission.CAMPAIGNS_READ) == 1
