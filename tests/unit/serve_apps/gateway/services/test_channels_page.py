"""What the page of the channels is made of: those that somebody set up, their warm-ups, and their messages counted."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from actors.calls.provider_states import AccountState, ChannelState, DeliveryReport
from actors.warehouse import Warehouse
from cluster.control_plane import ChannelConfig
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.pages.supplies import PER_PAGE
from serve_apps.gateway.services.provider_states import ProviderStates, WarmUpDoing
from tests.support.gateway_world import Caller, PlayedDirectory, World
from tests.support.people import Browser, member
from tests.unit.actors.warehouse.conftest import delivery, logged
from whisperer.delivery.plan import Plan, WarmUp
from whisperer.errors import OverloadError
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

SMTP = {"provider": "smtp", "config": {"host": "mail.example.com", "sender": "ada@example.com"}}
TENANT = TenantId("tn_acme")
START = 1_767_225_600_000  # 2026-01-01


async def fill(world: World, tenant: Caller, *rows: dict[str, Any]) -> None:
    now = time.time_ns() // 1_000_000
    made = [
        delivery(f"u:u{n}", f"dec_{n}", now - 60_000 * n, tenant=tenant.id, **fields) for n, fields in enumerate(rows)
    ]
    shard = 10 + len(world.plane.list_tenants())
    await asyncio.to_thread(Warehouse(world.warehouse).export, shard, 0, 1_000, [logged(1, *made)])


async def test_only_what_somebody_set_up_has_a_card(world: World, acme: Caller) -> None:
    page = await Documents(world.parts).channels("acme")
    assert page.channels == []
    assert ("email", "sink") in page.others
    await acme.ok("PUT", "/channels/email", SMTP)
    await acme.ok("PUT", "/channels/sms", {"provider": "sink", "rates": {"per_second": 5}})  # a plan of its own
    page = await Documents(world.parts).channels("acme")
    assert [one.channel for one in page.channels] == ["email", "sms"]
    assert [channel for channel, _ in page.others] == ["push", "webhook", "inapp"]
    other = world.tenant("other")
    await world.parts.overview.reload()
    assert (await Documents(world.parts).channels("other")).channels == [], other.id


async def test_messages_are_counted_by_channel_and_state_by_their_latest_attempt(world: World, acme: Caller) -> None:
    expired = {"status": "retry", "reason": "delivery_expired"}
    await fill(world, acme, {}, {}, {"status": "unknown"}, expired, {"status": "retry"}, {**expired, "channel": "sms"})
    await fill(world, world.tenant("other"), *[expired] * 7)
    email = await acme.ok("GET", "/channels/email/deliveries")
    assert (email["days"], email["by_status"]) == (
        30,
        {"accepted": 2, "retrying": 1, "unknown": 1, "bounced": 0, "refused": 0, "dead": 1},
    )
    assert (await acme.ok("GET", "/channels/sms/deliveries"))["by_status"]["dead"] == 1
    assert await acme.problem("GET", "/channels/fax/deliveries") == (404, "not_found")
    page = await Documents(world.parts).channels("acme")
    assert page.counts is not None
    assert page.counts.by_channel["email"] == {"accepted": 2, "retrying": 1, "unknown": 1, "dead": 1}


async def test_the_page_comes_without_counts_while_they_cannot_be_made(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise OverloadError("too many questions are open")

    monkeypatch.setattr(world.jobs, "ask", refuse)
    await acme.ok("PUT", "/channels/email", SMTP)
    page = await Documents(world.parts).channels("acme")
    assert page.counts is None
    assert [one.channel for one in page.channels] == ["email"]


async def test_deliveries_come_in_pages_with_their_filters(world: World, acme: Caller) -> None:
    await fill(world, acme, *[{} for _ in range(PER_PAGE + 2)], {"channel": "sms", "status": "unknown"})
    documents = Documents(world.parts)
    first = await documents.deliveries("acme", None, "email", None, None)
    assert len(first.deliveries) == PER_PAGE
    rest = await documents.deliveries("acme", None, "email", None, first.after)
    assert ([one.id for one in rest.deliveries], rest.after) == ([f"snd_{PER_PAGE}", f"snd_{PER_PAGE + 1}"], None)
    [unknown] = (await documents.deliveries("acme", "unknown", None, None, None)).deliveries
    assert (unknown.channel, unknown.user_id) == ("sms", f"u{PER_PAGE + 2}")
    assert (await documents.deliveries("acme", "nonsense'", None, None, None)).deliveries == []


async def test_who_may_not_read_messages_sees_channels_and_no_deliveries(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, "ada@example.com", "viewer")
    await world.parts.overview.reload()
    browser = Browser(world)
    await browser.sign_in("ada@example.com")
    assert (await browser.http.get("/channels")).status_code == 200
    assert (await browser.http.get("/deliveries")).status_code == 403
    world.tenant("other")
    await world.parts.overview.reload()
    assert (await browser.http.get("/channels?tenant=other")).status_code == 404


@pytest.mark.parametrize(
    ("passed_ms", "expected"),
    [
        (-1, WarmUpDoing(day=1, days=2, limit=50, given=42)),
        (0, WarmUpDoing(day=1, days=2, limit=50, given=42)),
        (DAY_MS, WarmUpDoing(day=2, days=2, limit=100, given=42)),
        (2 * DAY_MS, None),
    ],
)
async def test_a_warm_up_says_which_day_it_is_and_what_that_allows(
    passed_ms: int, expected: WarmUpDoing | None
) -> None:
    directory = PlayedDirectory()
    account = AccountState(
        account="smtp",
        provider="smtp",
        breaker="closed",
        closed_for_ms=0,
        times_opened=0,
        under_way=0,
        receipts={},
        held={},
    )
    for warmed in (30, 12):
        state = msgspec.structs.replace(account, warmed=warmed)
        channels = [ChannelState(TENANT, "email", [state])]
        directory.told.append(DeliveryReport(replica=str(warmed), channels=channels))
    config = ChannelConfig("smtp", {}, 0, Plan(warm_up=WarmUp("2026-01-01T00:00:00Z", (50, 100))))
    [found] = await ProviderStates(directory, lambda: START + passed_ms).of(TENANT, {"email": config})
    assert found.accounts[0].warm_up == expected
