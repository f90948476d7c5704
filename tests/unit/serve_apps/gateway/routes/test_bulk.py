"""Many statements in one call: each is answered at its place, as a call of its own would have been."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from actors.limiter import Ask, Lease, Limiter
from serve_apps.gateway.http import bulk
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.bulk import AT_ONCE, TIME_LIMIT_S, carry_out
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.rates import CallRates, Tiers
from serve_apps.gateway.routes.bulk import MOST_CREATED, MOST_ERASED, MOST_STATEMENTS
from tests.support.gateway_world import OPERATOR, Caller, World
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from whisperer.access.permissions import OF_SECRET_KEYS, Permission
from whisperer.settings import TierSettings

EMAIL = {"channel": "email", "granted": True}
EVENT = {"predicate": {"event": "Order Completed"}}


def outcomes(answer: dict[str, Any]) -> list[tuple[int, int, str | None]]:
    assert answer["n_done"] + answer["n_refused"] == len(answer["results"])
    assert answer["n_done"] == sum("result" in one for one in answer["results"])
    return [(one["index"], one["status"], one.get("problem", {}).get("code")) for one in answer["results"]]


@pytest.fixture(params=["tenant", "operator"])
def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    world.user(acme, "u-1")
    world.user(acme, "u-2")
    return acme if request.param == "tenant" else world.operator(acme)


async def test_each_statement_is_answered_at_its_place(world: World, caller: Caller) -> None:
    stated = [
        {"user_id": "u-1", **EMAIL},
        {"user_id": "nobody", **EMAIL},
        {"user_id": "u-2", **EMAIL, "granted": "yes"},
        "no object",
        {"user_id": "u-2", "channel": "*", "purpose": "*", "granted": False, "source": "import"},
    ]
    answer = await caller.ok("POST", "/users/consent/bulk", stated)
    assert outcomes(answer) == [
        (0, 200, None),
        (1, 404, "user_not_found"),
        (2, 422, "invalid_request"),
        (3, 422, "invalid_request"),
        (4, 200, None),
    ]
    single = await caller.ok("POST", "/users/u-1/consent", EMAIL)
    assert answer["results"][0]["result"] == single
    assert answer["results"][2]["problem"]["errors"][0]["pointer"] == "/granted"
    said = [(call[4], *call[5:]) for call in world.shards.called("state_consent")]
    assert ("u:u-2", "*", "*", False, "import") in said
    assert len(said) == 3  # the two, and the single one


async def test_lines_say_the_same_as_an_array(caller: Caller) -> None:
    stated = [{"user_id": user, **EMAIL} for user in ("u-1", "nobody", "u-2")]
    lines = b"\n".join(json.dumps(one).encode() for one in stated) + b"\n\n"
    by_lines = await caller("POST", "/users/consent/bulk", lines, headers={"Content-Type": "application/x-ndjson"})
    assert by_lines.json() == await caller.ok("POST", "/users/consent/bulk", stated)
    assert await caller.problem("POST", "/users/consent/bulk", b'{"user_id": "u-1"}\n{') == (400, "malformed_json")
    assert await caller.problem("POST", "/users/consent/bulk", b"[1,") == (400, "malformed_json")


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/users/consent/bulk", MOST_STATEMENTS),
        ("/users/erase/bulk", MOST_ERASED),
        ("/templates/bulk", MOST_CREATED),
        ("/segments/bulk", MOST_CREATED),
        ("/campaigns/bulk", MOST_CREATED),
    ],
)
async def test_a_call_has_a_bounded_number_of_statements(caller: Caller, path: str, most: int) -> None:
    assert (await caller("POST", path, [])).status_code == (await caller("POST", path, b"")).status_code == 422
    assert (await caller("POST", path, [{}] * (most + 1))).status_code == 422
    answer = await caller.ok("POST", path, [{}] * most)
    assert (answer["n_done"], answer["n_refused"]) == (0, most)


async def test_statements_of_one_user_are_carried_out_in_their_order(world: World, caller: Caller) -> None:
    world.shards.takes_s = 0.001
    stated = [{"user_id": f"u-{1 + n % 2}", **EMAIL, "source": str(n)} for n in range(20)]
    await caller.ok("POST", "/users/consent/bulk", stated)
    for user in ("u:u-1", "u:u-2"):
        sources = [int(call[-1]) for call in world.shards.called("state_consent") if call[4] == user]
        assert sources == sorted(sources)
        assert len(sources) == 10


async def test_erased_users_are_forgotten_each_by_itself(world: World, caller: Caller) -> None:
    stated = [{"user_id": "u-1"}, {"user_id": "nobody"}, {"user_id": ""}, {"user_id": "u-2"}]
    answer = await caller.ok("POST", "/users/erase/bulk", stated)
    assert [one[1] for one in outcomes(answer)] == [200, 404, 422, 200]
    assert {call[4] for call in world.shards.called("erase")} == {"u:u-1", "u:u-2"}


async def test_the_same_call_again_is_carried_out_once(world: World, caller: Caller) -> None:
    key = {"Idempotency-Key": "k-1"}
    stated = [{"user_id": "u-1"}, {"user_id": "nobody"}]
    first = await caller("POST", "/users/erase/bulk", stated, headers=key)
    again = await caller("POST", "/users/erase/bulk", stated, headers=key)
    assert (first.json(), again.headers["idempotent-replay"]) == (again.json(), "true")
    assert len(world.shards.called("erase")) == 1
    minimal = await caller("POST", "/users/erase/bulk", stated, headers={"Prefer": "return=minimal"})
    assert minimal.json()["n_refused"] == 1  # what became of each is what it is called for


async def test_things_are_created_each_by_itself_and_shards_are_told_once(world: World, caller: Caller) -> None:
    wrong = {"name": "wrong", "channel": "pigeon"}
    made = await caller.ok("POST", "/templates/bulk", [{"name": "hello", **SMS}, wrong, {**SMS, "name": 7}])
    assert [one[1] for one in outcomes(made)] == [201, 422, 422]
    assert made["results"][0]["result"]["name"] == "hello"
    assert world.shards.called("publish") == []
    bodies = [{"name": f"s{n}", **EVENT} for n in range(5)] + [{"name": "s0", "publish": False, **EVENT}]
    done = await caller.ok("POST", "/segments/bulk", bodies)
    assert [one[1] for one in outcomes(done)] == [201] * 6
    assert done["results"][5]["result"]["kind"] == "segment"  # a draft
    assert len(world.shards.called("publish")) == 2  # one a shard
    campaigns = [{"name": "c1", **CAMPAIGN}, {"name": "c1", **CAMPAIGN}, {"name": "c2", "publish": True, **CAMPAIGN}]
    there = await caller.ok("POST", "/campaigns/bulk", campaigns)
    assert [one[1] for one in outcomes(there)] == [201, 409, 201]
    assert len((await caller.ok("GET", "/segments"))["data"]) == 5
    assert [one["status"] for one in (await caller.ok("GET", "/campaigns"))["data"]] == ["draft", "live"]


async def test_who_may_not_publish_creates_drafts(world: World, acme: Caller) -> None:
    await acme.ok("PUT", "/templates/hello", SMS)
    scopes = sorted(OF_SECRET_KEYS - {Permission.CAMPAIGNS_PUBLISH})
    writer = Caller(world, acme.id, "/v1", world.plane.create_key(acme.id, "secret", scopes=scopes).key)
    stated = [{"name": "c1", **CAMPAIGN}, {"name": "c2", "publish": True, **CAMPAIGN}]
    answer = await writer.ok("POST", "/campaigns/bulk", stated)
    assert [one[1:] for one in outcomes(answer)] == [(201, None), (403, "forbidden")]


async def test_another_tenants_users_are_not_there(world: World, caller: Caller) -> None:
    globex = world.tenant("globex")
    answer = await globex.ok("POST", "/users/erase/bulk", [{"user_id": "u-1"}])
    assert outcomes(answer) == [(0, 404, "user_not_found")]


async def test_it_costs_what_the_single_calls_cost(world: World, acme: Caller) -> None:
    """A rate of 4 a second covers 8 at once; time stands still, and nothing is refilled."""
    world.user(acme, "u-1")
    limiter = Limiter()

    async def lease(asks: list[Ask]) -> list[Lease]:
        return limiter.lease(asks, 100.0)

    async def no_time(_: float) -> None: ...

    limits = Limits(lease, clock=lambda: 100.0, sleep=no_time)
    rates = CallRates(limits)
    world.parts.access = Access(
        world.plane, OPERATOR, 0.0, tiers=Tiers(TierSettings(tenant_calls_per_s=4)), call_rates=rates
    )
    found = outcomes(await acme.ok("POST", "/users/consent/bulk", [{"user_id": "u-1", **EMAIL}] * 12))
    n_paid = sum(status == 200 for _, status, _ in found)
    assert [status for _, status, _ in found] == [200] * n_paid + [429] * (12 - n_paid)
    assert found[-1][2] == "rate_limited"
    assert n_paid == len(world.shards.called("state_consent")) == limits.standing(f"calls:{acme.id}", 4.0).quota
    assert (await acme.problem("GET", "/segments"))[0] == 429


async def test_what_takes_too_long_is_not_begun_and_a_bug_is_of_one_statement(world: World, acme: Caller) -> None:
    now, done = [0.0], []

    async def do(one: int) -> int:
        now[0] += TIME_LIMIT_S / 2
        done.append(one)
        if one == 1:
            raise LookupError("a bug")
        return one

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "state": {}, "query_string": b""})
    request.state.principal = world.parts.access.operator_for(
        Request(request.scope | {"headers": [(b"authorization", f"Bearer {OPERATOR}".encode())]}),
        acme.id,  # type: ignore[arg-type]
    )
    found = await carry_out(
        request, world.parts.access, Permission.USERS_WRITE, [0, 1, 2], int, do, lambda _: None, clock=lambda: now[0]
    )
    assert [one.status for one in found.results] == [200, 500, 503]
    assert done == [0, 1]


async def test_a_bounded_number_of_users_is_worked_on_at_once(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, most = 0, 0

    async def state(*_: Any) -> None:
        nonlocal at_work, most
        at_work, most = at_work + 1, max(most, at_work + 1)
        await asyncio.sleep(0)
        at_work -= 1

    monkeypatch.setattr(world.parts.users, "state_consent", state)
    await acme.ok("POST", "/users/consent/bulk", [{"user_id": f"u-{n}", **EMAIL} for n in range(200)])
    assert most == AT_ONCE == bulk.AT_ONCE
