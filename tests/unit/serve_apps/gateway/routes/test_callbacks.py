"""A channel's callback URL: who sees it, and how it is replaced."""

from __future__ import annotations

from tests.support.gateway_world import Caller, World
from tests.unit.registries.callback_peers import bounce

SMTP = {"host": "mail.example.com", "sender": "ada@example.com"}


async def test_a_channel_shows_its_callback_url_to_whoever_may_change_it(world: World, acme: Caller) -> None:
    made = await acme.ok("PUT", "/channels/email", {"provider": "smtp", "config": SMTP})
    assert made["callback_url"].startswith("http://127.0.0.1:8000/v1/callbacks/smtp/")
    assert (await acme.ok("GET", "/channels/email"))["callback_url"] == made["callback_url"]
    listed = {one["channel"]: one["callback_url"] for one in (await acme.ok("GET", "/channels"))["data"]}
    assert listed == {"email": made["callback_url"], "sms": None, "push": None, "webhook": None} | (
        {"inapp": None} if "inapp" in listed else {}
    )
    reader = Caller(world, acme.id, "/v1", world.plane.create_key(acme.id, "secret", scopes=["channels:read"]).key)
    assert (await reader.ok("GET", "/channels/email"))["callback_url"] is None


async def test_the_url_can_be_replaced_and_stays_otherwise(world: World, acme: Caller) -> None:
    first = await acme.ok("PUT", "/channels/email", {"provider": "smtp", "config": SMTP})
    changed = await acme.ok("PUT", "/channels/email", {"provider": "smtp", "config": SMTP | {"host": "mx.example.com"}})
    assert changed["callback_url"] == first["callback_url"]
    rotated = await acme.ok("POST", "/channels/email/callback/rotate")
    assert rotated["callback_url"] != first["callback_url"]
    assert (await acme.http.post(first["callback_url"], content=bounce("r0"))).status_code == 404
    assert (await acme.http.post(rotated["callback_url"], content=bounce("r0"))).status_code == 200
    assert await acme.problem("POST", "/channels/sms/callback/rotate") == (404, "not_found")


async def test_two_tenants_have_two_urls(world: World, acme: Caller) -> None:
    other = world.tenant("other")
    urls = {
        (await one.ok("PUT", "/channels/email", {"provider": "smtp", "config": SMTP}))["callback_url"]
        for one in (acme, other)
    }
    assert len(urls) == 2
    assert not any(acme.id in url or other.id in url for url in urls)
