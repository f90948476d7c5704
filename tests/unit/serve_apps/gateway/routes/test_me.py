"""What a user reaches with a token of their own: their preferences, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serve_apps.gateway.services import user_tokens
from tests.support.gateway_world import Caller, World
from whisperer.access.user_tokens import new_user_token
from whisperer.eligibility.standing import Standing
from whisperer.shard.views.user import UserView

STATEMENT = {"channel": "email", "granted": False}
LETTERS = "ab.:/%_- \\é"


async def browser(world: World, tenant: Caller, user_id: str, **more: Any) -> Caller:
    """The browser of a user, with a token that the tenant's server asked for."""
    await world.parts.overview.reload()
    made = await tenant.ok("POST", "/users/token", {"minutes": 10, **more}, params={"user_id": user_id})
    return Caller(world, tenant.id, "/v1", made["token"])


def homes_asked(world: World) -> set[str]:
    """The keys of users whose state shards were asked for or told."""
    found = {str(call[4]) for call in world.shards.called("user")}
    return found | {str(call[4]) for call in world.shards.called("state_consent")}


async def test_a_user_reads_and_states_their_own_preferences(world: World, acme: Caller) -> None:
    world.user(acme, "ann")
    ann = await browser(world, acme, "ann")
    assert await ann.ok("GET", "/me/consent") == {"user_id": "ann", "consent": [], "suppressed": []}
    stated = await ann.ok("PUT", "/me/consent", STATEMENT | {"purpose": "news"})
    assert stated == {"user_id": "ann", **STATEMENT, "purpose": "news", "source": "user"}
    (call,) = world.shards.called("state_consent")
    assert call[3:] == (acme.id, "u:ann", "email", "news", False, "user")


@pytest.mark.parametrize(
    "body", [{**STATEMENT, "source": "admin"}, {**STATEMENT, "user_id": "bob"}, {"channel": "pigeon", "granted": True}]
)
async def test_a_user_states_nothing_else(world: World, acme: Caller, body: dict[str, Any]) -> None:
    world.user(acme, "ann")
    ann = await browser(world, acme, "ann")
    assert await ann.problem("PUT", "/me/consent", body) == (422, "invalid_request")
    assert world.shards.called("state_consent") == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.text(LETTERS, min_size=1, max_size=6),
    theirs=st.text(LETTERS, min_size=1, max_size=6),
    way=st.sampled_from(["path", "query", "header", "body"]),
)
@example("u1", "u1.", "query")
@example("a", "a.b", "path")
@example("u", "a:u", "query")
async def test_whatever_a_user_writes_only_their_own_home_is_asked(
    world: World, acme: Caller, mine: str, theirs: str, way: str
) -> None:
    for user in (mine, theirs):
        world.user(acme, user)
    me = await browser(world, acme, mine)
    world.shards.calls.clear()
    more: dict[str, Any] = {
        "path": {},
        "query": {"params": {"user_id": theirs, "userId": theirs}},
        "header": {"headers": {"X-User-Id": theirs.encode()}},
        "body": {},
    }[way]
    body = STATEMENT | ({"user_id": theirs} if way == "body" else {})
    await me("GET", "/me/consent", **more)
    await me("PUT", "/me/consent", body, **more)
    assert homes_asked(world) == {f"u:{mine}"}


async def test_the_token_of_an_id_reaches_no_anonymous_user_of_that_id(world: World, acme: Caller) -> None:
    world.shards.users[f"{acme.id}/a:dev"] = UserView("a:dev", standing=Standing())
    problem = await acme.problem("POST", "/users/token", {}, params={"user_id": "dev"})
    assert problem == (404, "user_not_found")
    await world.parts.overview.reload()
    secret = world.plane.signing_user_secret(acme.id)
    dev = Caller(world, acme.id, "/v1", new_user_token(acme.id, "dev", 2**38, secret))
    assert await dev.problem("GET", "/me/consent") == (404, "user_not_found")


async def test_a_token_opens_nothing_but_the_users_own(world: World, acme: Caller) -> None:
    world.user(acme, "ann")
    ann = await browser(world, acme, "ann")
    for method, path in (("GET", "/users/ann"), ("GET", "/segments"), ("POST", "/users/ann/token"), ("GET", "/keys")):
        assert await ann.problem(method, path, {} if method == "POST" else None) == (401, "invalid_token")


async def test_no_key_and_no_made_up_token_speaks_for_a_user(world: World, acme: Caller) -> None:
    world.user(acme, "ann")
    await browser(world, acme, "ann")
    globex = world.tenant("globex")
    await world.parts.overview.reload()
    theirs = world.plane.signing_user_secret(globex.id)
    keys = [
        *("", "ut_", "ut_x.y.1.z", world.plane.create_key(acme.id, "secret").key),
        new_user_token(acme.id, "ann", 2**38, theirs),
        new_user_token(acme.id, "ann", 1, world.plane.signing_user_secret(acme.id)),
    ]
    for key in keys:
        stranger = Caller(world, acme.id, "/v1", key)
        stranger.http.headers["Authorization"] = f"Bearer {key}".strip()
        assert await stranger.problem("GET", "/me/consent") == (401, "invalid_key")


async def test_a_tenant_that_is_not_there_is_not_looked_up(world: World, acme: Caller) -> None:
    asked: list[str] = []
    world.plane.user_secrets = lambda tenant: asked.append(tenant)  # type: ignore[method-assign,assignment,return-value]
    stranger = Caller(world, acme.id, "/v1", new_user_token("tn_made_up", "u", 2**38, b"x" * 32))  # type: ignore[arg-type]
    assert await stranger.problem("GET", "/me/consent") == (401, "invalid_key")
    assert asked == []


async def test_a_rotation_ends_tokens_after_the_overlap(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_tokens, "FRESH_S", 0.0)
    world.user(acme, "ann")
    operator = world.operator(acme)
    first = await browser(world, acme, "ann")
    await operator.ok("POST", "/settings/user_secret/rotate", {"overlap_hours": 1})
    second = await browser(world, acme, "ann")
    for one in (first, second):
        assert (await one("GET", "/me/consent")).status_code == 200
    answer = await operator.ok("POST", "/settings/user_secret/rotate", {"overlap_hours": 0})
    assert answer == {"previous_until": None}
    for one in (first, second):
        assert await one.problem("GET", "/me/consent") == (401, "invalid_key")


async def test_a_token_is_of_its_environment(world: World, acme: Caller) -> None:
    test = world.plane.create_environment(acme.id, "test")
    for tenant_id in (acme.id, test.id):
        world.shards.users[f"{tenant_id}/u:ann"] = UserView("u:ann", standing=Standing())
    ann = await browser(world, acme, "ann")
    world.shards.calls.clear()
    assert (await ann("GET", "/me/consent")).status_code == 200
    assert {call[3] for call in world.shards.called("user")} == {acme.id}
    token = ann.http.headers["Authorization"].replace(acme.id, test.id)
    assert (await ann("GET", "/me/consent", headers={"Authorization": token})).status_code == 401
