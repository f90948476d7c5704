"""A channel's rates and accounts over HTTP: written, shown without secrets, and how they do."""

from __future__ import annotations

import json
from typing import Any

from actors.calls.provider_states import AccountState, ChannelState, DeliveryReport
from tests.support.gateway_world import Caller, PlayedDirectory, World
from tests.unit.registries.callback_peers import bounce

SMTP: dict[str, Any] = {"host": "mail.example.com", "sender": "ada@example.com"}
LOGIN = SMTP | {"username": "ada", "password": "geheim-9"}
BODY: dict[str, Any] = {
    "provider": "smtp",
    "config": SMTP,
    "weight": 3,
    "rates": {"per_second": 50.0, "burst": 100},
    "warm_up": {"started_at": "2026-11-02T00:00:00Z", "per_day": [50, 100]},
    "failover": [{"provider": "smtp", "name": "backup", "config": LOGIN}],
}


async def test_a_channel_is_written_as_a_whole_and_shown_without_secrets(acme: Caller) -> None:
    written = await acme.ok("PUT", "/channels/email", BODY)
    assert (written["name"], written["weight"], written["warm_up"]) == ("smtp", 3, BODY["warm_up"])
    assert written["rates"]["per_second"] == 50.0
    [backup] = written["failover"]
    assert (backup["name"], backup["weight"], backup["config"]["password"]) == ("backup", 0, "…")
    assert "/v1/callbacks/smtp/" in backup["callback_url"]
    assert "geheim-9" not in json.dumps([written, await acme.ok("GET", "/channels")])
    assert await acme.ok("GET", "/channels/email") == written
    alone = await acme.ok("PUT", "/channels/email", {"provider": "smtp", "config": SMTP})
    assert (alone["weight"], alone["rates"], alone["failover"]) == (1, None, [])


async def test_what_is_wrong_is_told_with_its_place(acme: Caller) -> None:
    body = BODY | {"rates": {"per_second": 0}, "failover": [{"provider": "smtp", "config": SMTP}]}
    answer = await acme("PUT", "/channels/email", body)
    assert answer.status_code == 422
    assert {problem["pointer"] for problem in answer.json()["errors"]} == {"/rates/per_second", "/failover/0/name"}
    both = {"email": body, "sms": {"provider": "sink"}}
    assert (await acme("PUT", "/channels", both)).status_code == 422


async def test_a_further_accounts_callbacks_are_taken(world: World, acme: Caller) -> None:
    """Its URL names its provider; that of a provider that is not in the channel is not good."""
    body = {"provider": "sendgrid", "config": {"api_key": "SG.x9s2kd83jd9s", "sender": "ada@example.com"}}
    written = await acme.ok("PUT", "/channels/email", body | {"failover": [{"provider": "smtp", "config": SMTP}]})
    url = written["failover"][0]["callback_url"]
    assert (await acme.http.post(url, content=bounce("r0"))).status_code == 200
    other = world.tenant("other")
    written = await other.ok("PUT", "/channels/email", body | {"failover": [{"provider": "smtp", "config": SMTP}]})
    await other.ok("PUT", "/channels/email", body)
    url = written["failover"][0]["callback_url"]
    assert (await other.http.post(url, content=bounce("r0"))).status_code == 404


def doing(tenant: str, account: str, breaker: str, **more: Any) -> ChannelState:
    fields: dict[str, Any] = {"closed_for_ms": 0, "times_opened": 0, "under_way": 1, "receipts": {}, "held": {}} | more
    return ChannelState(tenant, "email", [AccountState(account=account, provider="smtp", breaker=breaker, **fields)])


async def test_how_the_accounts_do_is_told_over_all_replicas(world: World, acme: Caller) -> None:
    other = world.tenant("other")
    await acme.ok("PUT", "/channels/email", BODY)
    directory = world.parts.directory
    assert isinstance(directory, PlayedDirectory)
    directory.told = [
        DeliveryReport(replica="a", channels=[doing(acme.id, "smtp", "closed", receipts={"accepted": 5})]),
        DeliveryReport(
            replica="b",
            channels=[
                doing(other.id, "smtp", "closed", receipts={"accepted": 99}),
                doing(
                    acme.id,
                    "smtp",
                    "open",
                    closed_for_ms=4_000,
                    times_opened=2,
                    receipts={"accepted": 1, "retry": 7},
                    held={"breaker": 3},
                    searches={"found": 2},
                    last_trouble="no connection: the connection was refused",
                    since=1_767_225_600_000,
                    per_second=2.5,
                    taken_over=1,
                ),
                doing(acme.id, "backup", "closed", per_second=1.0, warmed=30),
            ],
        ),
        DeliveryReport(
            replica="c", channels=[doing(acme.id, "backup", "closed", per_second=0.5, warmed=12, taken_over=4)]
        ),
    ]
    found = await acme.ok("GET", "/channels/email/state")
    assert (found["channel"], found["replicas"]) == ("email", 4)
    smtp, backup = found["accounts"]
    assert (smtp["breaker"], smtp["left_alone_s"], smtp["times_opened"], smtp["under_way"]) == ("open", 4.0, 2, 2)
    assert (smtp["receipts"], smtp["held"]) == ({"accepted": 6, "retry": 7}, {"breaker": 3})
    assert (smtp["searches"], backup["searches"]) == ({"found": 2}, {})
    assert smtp["last_trouble"] == "no connection: the connection was refused"
    assert (smtp["breaker_since"], smtp["per_second_lately"]) == ("2026-01-01T00:00:00.000Z", 2.5)
    assert (backup["account"], backup["breaker"], backup["receipts"]) == ("backup", "closed", {})
    assert (backup["breaker_since"], backup["per_second_lately"], backup["taken_over"]) == (None, 1.5, 4)
    assert (await acme.ok("GET", "/channels/sms/state"))["accounts"][0]["provider"] == "sink"
    assert await acme.problem("GET", "/channels/fax/state") == (404, "not_found")
