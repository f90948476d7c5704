"""Environments and settings over HTTP: what is allowed in one reaches no other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_keys import KEY, scoped
from whisperer.access.permissions import SCOPES


@pytest.fixture
def mighty(world: World, acme: Caller) -> Caller:
    return scoped(world, acme, *sorted(SCOPES))


async def in_test(world: World, mighty: Caller) -> Caller:
    """Someone with a mighty key of the environment `test`."""
    await mighty.ok("POST", "/environments", {"name": "test"})
    made = await mighty.ok("POST", "/environments/test/keys", {"kind": "secret", "scopes": sorted(SCOPES)})
    found = world.plane.find_key(made["key"])
    assert found is not None
    return Caller(world, found.tenant_id, "/v1", made["key"])


async def test_an_environment_is_made_and_listed_with_live(world: World, mighty: Caller) -> None:
    made = await mighty.ok("POST", "/environments", {"name": "test"})
    assert (made["name"], made["tenant"]) == ("test", "acme.test")
    assert await mighty.ok("GET", "/environments/test") == made
    assert [one["tenant"] for one in (await mighty.ok("GET", "/environments"))["data"]] == ["acme", "acme.test"]
    first = await mighty.ok("GET", "/environments?limit=1")
    rest = await mighty.ok("GET", f"/environments?limit=1&cursor={first['next_cursor']}")
    assert [one["name"] for one in first["data"] + rest["data"]] == ["live", "test"]
    assert await mighty.problem("POST", "/environments", {"name": "test"}) == (409, "environment_exists")
    assert await mighty.problem("POST", "/environments", {"name": "No"}) == (422, "invalid_request")
    globex = scoped(world, world.tenant("globex"), "environments:*")
    assert await globex.problem("GET", "/environments/test") == (404, "environment_not_found")


async def test_what_is_in_one_environment_is_not_in_the_other(world: World, mighty: Caller) -> None:
    test = await in_test(world, mighty)
    await test.ok("PUT", "/segments/buyers", {"predicate": {"event": "Paid"}})
    await test.ok("PUT", "/channels/sms", {"provider": "sink"})
    world.user(test, "ann")
    assert (await test("GET", "/users/ann")).status_code == 200
    for path in ("/users/ann", "/segments/buyers"):
        assert (await mighty("GET", path)).status_code == 404
    assert test.id != mighty.id
    theirs = {key["id"] for key in (await test.ok("GET", "/keys"))["data"]}
    mine = {key["id"] for key in (await mighty.ok("GET", "/keys"))["data"]}
    assert not theirs & mine
    for key_id in theirs:
        assert await mighty.problem("GET", f"/keys/{key_id}") == (404, "key_not_found")
    for key_id in mine:
        assert await test.problem("DELETE", f"/keys/{key_id}") == (404, "key_not_found")


async def test_a_key_of_an_environment_reads_and_never_changes_what_all_share(world: World, mighty: Caller) -> None:
    test = await in_test(world, mighty)
    for path in ("/members", "/roles", "/settings", "/environments"):
        assert (await test("GET", path)).status_code == 200
    for method, path, body in (
        ("PUT", "/settings", {"approval": True}),
        ("POST", "/roles", {"name": "r", "permissions": []}),
        ("POST", "/invitations", {"email": "a@example.com", "role": "viewer"}),
        ("POST", "/environments", {"name": "more"}),
    ):
        assert await test.problem(method, path, body) == (409, "belongs_to_tenant")


@pytest.mark.parametrize("environment", ["live", "test", "stage"])
async def test_a_key_of_an_environment_makes_keys_of_no_other(world: World, mighty: Caller, environment: str) -> None:
    test = await in_test(world, mighty)
    await mighty.ok("POST", "/environments", {"name": "stage"})
    assert await test.problem("POST", f"/environments/{environment}/keys", KEY) == (409, "belongs_to_tenant")


async def test_keys_of_an_environment_take_both_permissions_and_give_no_more(world: World, mighty: Caller) -> None:
    await mighty.ok("POST", "/environments", {"name": "test"})
    acme = world.tenant("other")
    world.plane.create_environment(acme.id, "test")
    only = scoped(world, acme, "environments:write")
    assert await only.problem("POST", "/environments/test/keys", KEY) == (403, "forbidden")
    both = scoped(world, acme, "environments:write", "keys:write")
    assert await both.problem("POST", "/environments/test/keys", KEY) == (403, "escalation")
    assert await both.problem("POST", "/environments/live/keys", KEY) == (409, "belongs_to_tenant")


async def test_settings_are_changed_by_who_read_them(world: World, mighty: Caller) -> None:
    read = await mighty("GET", "/settings")
    assert read.json() == {
        **{"tier": None, "approval": False, "second_factor": False, "origins": [], "brand": {}, "changed_at": None},
        **{"links_base_url": "", "postal_address": False, "test_recipients": {}},
    }
    body = {"approval": True, "origins": ["https://app.example.com"]}
    changed = await mighty("PUT", "/settings", body, headers={"If-Match": read.headers["etag"]})
    assert changed.json()["origins"] == ["https://app.example.com"]
    stale = await mighty.problem("PUT", "/settings", body, headers={"If-Match": read.headers["etag"]})
    assert stale == (412, "precondition_failed")
    assert (await mighty.ok("PUT", "/settings", {"second_factor": True}))["approval"] is True


@pytest.mark.parametrize("tier", ["pro", "", "enterprise"])
async def test_only_the_operator_changes_the_tier(world: World, acme: Caller, mighty: Caller, tier: str) -> None:
    assert await mighty.problem("PUT", "/settings", {"tier": tier}) == (403, "operator_only")
    operator = world.operator(acme)
    assert (await operator.ok("PUT", "/settings", {"tier": tier}))["tier"] == (tier or None)
    assert (await mighty.ok("GET", "/settings"))["tier"] == (tier or None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"origins": ["https://good.example", "nowhere"]}, "/origins/1"),
        ({"origins": ["https://a.example"] * 51}, "/origins"),
        ({"approval": "yes"}, "/approval"),
        ({"previous_user_until": 1}, ""),
    ],
)
async def test_settings_that_cannot_be_are_refused_with_the_place(
    mighty: Caller, body: dict[str, Any], pointer: str
) -> None:
    answer = await mighty("PUT", "/settings", body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
