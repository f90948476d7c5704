"""Callers' questions: decisions now, audits, consent, what the sink received."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.gateway_world import Caller, World, view
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from whisperer.decisions.decision import decision_id
from whisperer.delivery.dispatch import Dispatch
from whisperer.shard.views.user import UserView


@pytest.fixture
async def live(world: World, acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    for n in range(40):
        world.user(acme, f"u{n}")
    return acme


def asked(world: World) -> list[tuple[str, str]]:
    return [user for call in world.shards.called("ask") for user in call[5]]


async def test_one_user_is_answered_with_the_decision(live: Caller) -> None:
    answer = await live.ok("POST", "/decisions", {"campaign": "welcome", "user_id": "u1", "occurrence": "order-1"})
    assert answer["decision_id"] == decision_id(live.id, "u:u1", "welcome", "order-1")
    assert (answer["user_id"], answer["status"], answer["arm"], answer["propensity"]) == ("u1", "sending", "tips", 0.5)
    assert (answer["group"], answer["reason"], answer["occurrence"]) == ("policy", None, "order-1")


async def test_the_same_occurrence_is_the_same_decision_and_without_one_each_is_new(live: Caller) -> None:
    body = {"campaign": "welcome", "user_id": "u1"}

    async def id_of(**more: Any) -> str:
        return str((await live.ok("POST", "/decisions", body, **more))["decision_id"])

    key = {"headers": {"Idempotency-Key": "order-1"}}
    assert await id_of(**key) == await id_of(**key) == decision_id(live.id, "u:u1", "welcome", "order-1")
    assert await id_of() != await id_of()


async def test_many_users_are_asked_of_each_shard_at_once_and_answered_in_order(live: Caller, world: World) -> None:
    ids = [f"u{n}" for n in range(40)] + ["nobody", "u3"]
    answer = await live.ok("POST", "/decisions", {"campaign": "welcome", "user_ids": ids, "occurrence": "o"})
    assert [one["user_id"] for one in answer["data"]] == ids
    assert answer["data"][40] == {"user_id": "nobody", "status": "unknown_user"}
    assert answer["data"][41] == answer["data"][3]
    assert {call[0] for call in world.shards.called("ask")} == {0, 1}
    assert len(world.shards.called("ask")) == 2
    assert len(asked(world)) == len(set(asked(world))) == 41
    assert len(world.shards.called("user")) == 2, "only the stranger is looked for, under both keys"


async def test_an_anonymous_or_merged_user_is_found(live: Caller, world: World) -> None:
    world.shards.users[f"{live.id}/a:device"] = UserView("a:device")
    world.shards.users[f"{live.id}/u:old"] = UserView("u:old", moved_to="u:u1")
    answer = await live.ok(
        "POST", "/decisions", {"campaign": "welcome", "user_ids": ["device", "old"], "occurrence": "o"}
    )
    keys = ["a:device", "u:u1"]
    assert [one["decision_id"] for one in answer["data"]] == [decision_id(live.id, k, "welcome", "o") for k in keys]


async def test_an_id_is_found_at_the_end_of_a_chain_that_the_homes_do_not_know(live: Caller, world: World) -> None:
    for i in range(100):
        world.shards.users[f"{live.id}/u:k{i}"] = UserView(f"u:k{i}", moved_to=f"u:k{i + 1}")
        world.shards.roots[f"{live.id}/u:k{i}"] = "u:k100"
    world.shards.users[f"{live.id}/u:k100"] = UserView("u:k100")
    answer = await live.ok("POST", "/decisions", {"campaign": "welcome", "user_id": "k0", "occurrence": "o"})
    assert answer["decision_id"] == decision_id(live.id, "u:k100", "welcome", "o")
    assert len(world.shards.called("user")) == 3


async def test_a_shard_with_a_newer_map_is_asked_again(live: Caller, world: World) -> None:
    world.shards.stale = 1
    assert (await live.ok("POST", "/decisions", {"campaign": "welcome", "user_id": "u1"}))["arm"] == "tips"
    first, second = asked(world)
    assert first == second, "the second attempt is about the same occurrence"


async def test_a_shard_that_is_away_is_a_503_to_try_again(live: Caller, world: World) -> None:
    world.shards.away = {0, 1}
    assert await live.problem("POST", "/decisions", {"campaign": "welcome", "user_id": "u1"}) == (503, "unavailable")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"campaign": "welcome"}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_id": "a", "user_ids": ["b"]}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_ids": []}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_ids": ["u"] * 1_001}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_id": "u1", "occurrence": "x" * 201}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_id": "u1", "arm": "tips"}, (422, "invalid_request")),
        ({"campaign": "welcome", "user_id": "nobody"}, (404, "user_not_found")),
        ({"campaign": "nope", "user_id": "u1"}, (404, "campaign_not_found")),
        ({"campaign": "draft", "user_id": "u1"}, (409, "campaign_not_live")),
        ({"campaign": "over", "user_id": "u1"}, (409, "campaign_not_live")),
    ],
)
async def test_a_question_that_cannot_be_asked_is_refused(
    live: Caller, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    await live.ok("POST", "/campaigns", {"name": "draft", **CAMPAIGN})
    await live.ok("POST", "/campaigns", {"name": "over", "publish": True, **CAMPAIGN})
    await live.ok("DELETE", "/campaigns/over")
    assert await live.problem("POST", "/decisions", body) == expected


async def test_another_tenants_campaign_cannot_be_asked_about(live: Caller, world: World) -> None:
    globex = world.tenant("globex")
    world.user(globex, "u1")
    assert (await globex.problem("POST", "/decisions", {"campaign": "welcome", "user_id": "u1"}))[0] == 404


async def test_an_audit_is_found_on_whichever_shard_with_its_times_and_words(live: Caller, world: World) -> None:
    world.shards.decisions[f"{live.id}/dec_1"] = view(
        "dec_1", "u:u1", "welcome", status="refused", reason="capped", features={"trend": math.nan}
    )
    audit = await live.ok("GET", "/decisions/dec_1")
    assert (audit["user_id"], audit["at"], audit["seed"]) == ("u1", "2023-11-14T22:13:20.000Z", 2**64 - 1)
    assert audit["reason_text"].startswith("the user has had as many messages")
    assert audit["features"] == {"trend": None}
    assert audit["outcomes"][0]["at"] == "2023-11-14T22:13:20.500Z"
    assert await world.tenant("globex").problem("GET", "/decisions/dec_1") == (404, "decision_not_found")


async def test_an_old_decision_comes_from_the_warehouse_in_the_same_form(live: Caller, world: World) -> None:
    at = 1_700_000_000_000
    row = view("", "u:u1", "welcome") | {"decision_id": "dec_1", "features": {"trend": 1.5}, "reason": None}
    delivery = {
        "send_key": "snd_1", "channel": "sms", "attempt": 0, "status": "retry", "provider": "sink", "provider_id": "",
        "detail": "busy", "content_hash": "h", "locale": "en", "at": at + 1, "reason": None,
    }  # fmt: skip
    world.shards.stored[f"{live.id}/dec_1"] = {
        "decision": row,
        "deliveries": [delivery, delivery | {"attempt": 1, "status": "accepted", "at": at + 2, "detail": ""}],
        "outcomes": [{"at": at + 3, "kind": "converted", "detail": "Paid", "value_micros": 5}],
        "rewards": [
            {"revision": 2, "mature": True, "reward_micros": 900_000},
            {"revision": 1, "mature": False, "reward_micros": 0},
        ],
    }
    stored = await live.ok("GET", "/decisions/dec_1")
    world.shards.decisions[f"{live.id}/dec_2"] = view("dec_2", "u:u1", "welcome")
    held = await live.ok("GET", "/decisions/dec_2")
    assert set(held) - set(stored) <= {"user_id"}
    assert (stored["status"], stored["reward_micros"], stored["matured"]) == ("sent", 900_000, True)
    assert (stored["send"]["attempts"], stored["send"]["sent_at"]) == (2, "2023-11-14T22:13:20.002Z")


@pytest.mark.parametrize("last", ["unknown", "rejected"])
async def test_an_old_decision_that_was_never_answered_for_is_told_as_sent_and_unknown(
    live: Caller, world: World, last: str
) -> None:
    at = 1_700_000_000_000
    row = view("", "u:u1", "welcome") | {"decision_id": "dec_1", "features": {}, "reason": None}
    delivery = {
        "send_key": "snd_1", "channel": "webhook", "attempt": 0, "status": "unknown", "provider": "webhook",
        "provider_id": "", "detail": "no answer", "content_hash": "h", "locale": "en", "at": at + 1, "reason": None,
    }  # fmt: skip
    world.shards.stored[f"{live.id}/dec_1"] = {
        "decision": row,
        "deliveries": [delivery, delivery | {"attempt": 1, "status": last, "at": at + 2}],
        "outcomes": [],
        "rewards": [],
    }
    stored = await live.ok("GET", "/decisions/dec_1")
    assert (stored["status"], stored["reason"], stored["send"]["unknown"]) == ("sent", None, True)
    assert (stored["send"]["last_error"], stored["send"]["sent_at"]) == ("no answer", "2023-11-14T22:13:20.002Z")


async def test_a_decision_that_may_be_on_a_shard_that_is_away_is_not_called_unknown(live: Caller, world: World) -> None:
    world.shards.away = {0}
    assert await live.problem("GET", "/decisions/dec_1") == (503, "unavailable")


async def test_consent_reaches_the_users_shard_under_the_live_key(live: Caller, world: World) -> None:
    world.shards.users[f"{live.id}/u:old"] = UserView("u:old", moved_to="u:u1")
    said = {"channel": "email", "granted": False, "source": "phone"}
    answer = await live.ok("POST", "/users/old/consent", said)
    assert answer == {"user_id": "u1", "purpose": "marketing", **said}
    assert world.shards.called("state_consent")[-1][3:] == (live.id, "u:u1", "email", "marketing", False, "phone")


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "fax", "granted": True},
        {"channel": "email"},
        {"channel": "email", "granted": "yes"},
        {"channel": "email", "granted": True, "purpose": "a/b"},
        {"channel": "email", "granted": True, "source": "x" * 201},
    ],
)
async def test_a_statement_that_is_none_is_refused(live: Caller, body: dict[str, Any]) -> None:
    assert await live.problem("POST", "/users/u1/consent", body) == (422, "invalid_request")


async def test_consent_of_a_stranger_is_404(live: Caller) -> None:
    body = {"channel": "*", "purpose": "*", "granted": False}
    assert await live.problem("POST", "/users/nobody/consent", body) == (404, "user_not_found")


# The sink


def send(world: World, tenant: Caller, n: int, user: str = "u1", campaign: str = "welcome") -> None:
    parts = {"subject": f"message {n}", "text": "hello"}
    dispatch = Dispatch(
        f"snd_{tenant.id}_{n}",
        f"dec_{n}",
        tenant.id,
        f"u:{user}",
        campaign,
        "email",
        "a@b.cd",
        parts,
        {},
        "en",
        "hash",
        0,
        0,
    )
    assert world.sink.accept([dispatch], 1_700_000_000_000 + n)[0].status == "accepted"


async def test_what_was_received_is_listed_newest_first_in_pages(live: Caller, world: World) -> None:
    for n in range(5):
        send(world, live, n)
    first = await live.ok("GET", "/sink/messages?limit=3")
    second = await live.ok("GET", f"/sink/messages?limit=3&cursor={first['next_cursor']}")
    subjects = [m["parts"]["subject"] for m in first["data"] + second["data"]]
    assert subjects == [f"message {n}" for n in (4, 3, 2, 1, 0)]
    assert second["next_cursor"] is None


async def test_a_poller_goes_on_after_the_last_serial(live: Caller, world: World) -> None:
    for n in range(3):
        send(world, live, n)
    first = await live.ok("GET", "/sink/messages?after=0&limit=2")
    assert [m["parts"]["subject"] for m in first["data"]] == ["message 0", "message 1"]
    rest = await live.ok("GET", f"/sink/messages?after={first['data'][-1]['serial']}&limit=2")
    assert [m["parts"]["subject"] for m in rest["data"]] == ["message 2"]
    by_cursor = await live.ok("GET", f"/sink/messages?limit=2&cursor={first['next_cursor']}")
    assert by_cursor["data"] == rest["data"]


async def test_messages_are_told_apart_by_user_campaign_and_tenant(live: Caller, world: World) -> None:
    send(world, live, 1)
    send(world, live, 2, user="u2", campaign="other")
    globex = world.tenant("globex")
    send(world, globex, 3)

    async def subjects(caller: Caller, query: str) -> list[str]:
        return [m["parts"]["subject"] for m in (await caller.ok("GET", f"/sink/messages?{query}"))["data"]]

    assert await subjects(live, "user_id=u2") == ["message 2"]
    assert await subjects(live, "campaign=welcome") == ["message 1"]
    assert await subjects(live, "channel=sms") == []
    assert await subjects(globex, "") == ["message 3"]
    assert (await live.ok("GET", f"/sink/messages/snd_{live.id}_1"))["user_id"] == "u1"
    assert await globex.problem("GET", f"/sink/messages/snd_{live.id}_1") == (404, "message_not_found")
    assert await live.problem("GET", "/sink/messages?cursor=AAAA") == (422, "invalid_request")
