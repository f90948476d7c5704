"""Members, invitations and roles over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway_world import Caller, World
from tests.support.people import joined
from tests.unit.serve_apps.gateway.routes.test_keys import every, scoped
from whisperer.access.permissions import SCOPES
from whisperer.access.roles import Role


@pytest.fixture
def manager(world: World, acme: Caller) -> Caller:
    """A key that may manage members, and what marketers may."""
    return scoped(world, acme, *sorted(SCOPES))


async def test_a_member_is_listed_changed_and_removed(world: World, acme: Caller, manager: Caller) -> None:
    ada = joined(world.plane, acme.id, "ada@example.com", "analyst")
    listed = (await manager.ok("GET", "/members?filter[role]=analyst"))["data"]
    assert listed == [await manager.ok("GET", f"/members/{ada.id}")]
    assert listed[0]["joined_at"] == "1970-01-01T00:00:00.001Z"
    tag = (await manager("GET", f"/members/{ada.id}")).headers["etag"]
    changed = await manager("PUT", f"/members/{ada.id}", {"role": "viewer"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["role"]) == (200, "viewer")
    stale = await manager.problem("PUT", f"/members/{ada.id}", {"role": "analyst"}, headers={"If-Match": tag})
    assert stale == (412, "precondition_failed")
    await manager.ok("DELETE", f"/members/{ada.id}")
    assert await manager.problem("GET", f"/members/{ada.id}") == (404, "member_not_found")


async def test_a_key_makes_and_unmakes_no_owner(world: World, acme: Caller, manager: Caller) -> None:
    for name in ("ada", "bob"):
        joined(world.plane, acme.id, f"{name}@example.com", "owner")
    ada = world.plane.get_member(acme.id, "ada@example.com")
    body = {"email": "eve@example.com", "role": "owner"}
    assert await manager.problem("POST", "/invitations", body) == (403, "escalation")
    assert await manager.problem("PUT", f"/members/{ada.id}", {"role": "viewer"}) == (403, "escalation")
    assert await manager.problem("DELETE", f"/members/{ada.id}") == (403, "escalation")
    operator = world.operator(acme)
    await operator.ok("DELETE", f"/members/{ada.id}")
    bob = world.plane.get_member(acme.id, "bob@example.com")
    assert await operator.problem("DELETE", f"/members/{bob.id}") == (409, "last_owner")
    assert await operator.problem("PUT", f"/members/{bob.id}", {"role": "admin"}) == (409, "last_owner")


async def test_nobody_resets_the_password_of_somebody_who_may_do_more(world: World, acme: Caller) -> None:
    few = scoped(world, acme, "members:*", "users:read")
    world.plane.create_role(acme.id, "reader", ["users:read"])
    ada, bob = (joined(world.plane, acme.id, f"{role}@example.com", role) for role in ("admin", "reader"))
    assert await few.problem("POST", f"/members/{ada.id}/password-reset") == (403, "escalation")
    assert (await few("POST", f"/members/{bob.id}/password-reset")).headers["shown-once"] == "true"
    test = world.plane.create_environment(acme.id, "test")
    key = world.plane.create_key(test.id, "secret", scopes=["members:*", "users:read"]).key
    there = Caller(world, test.id, "/v1", key)
    assert await there.problem("POST", f"/members/{bob.id}/password-reset") == (409, "belongs_to_tenant")


async def test_another_tenants_people_are_not_there(world: World, acme: Caller, manager: Caller) -> None:
    globex = world.tenant("globex")
    eve = joined(world.plane, globex.id, "eve@example.com", "viewer")
    invited = world.plane.invite(globex.id, "bob@example.com", "viewer", by="them")
    world.plane.create_role(globex.id, "theirs", ["users:read"])
    for method, path, body, code in (
        ("GET", f"/members/{eve.id}", None, "member_not_found"),
        ("PUT", f"/members/{eve.id}", {"role": "viewer"}, "member_not_found"),
        ("DELETE", f"/members/{eve.id}", None, "member_not_found"),
        ("GET", f"/invitations/{invited.id}", None, "invitation_not_found"),
        ("DELETE", f"/invitations/{invited.id}", None, "invitation_not_found"),
        ("GET", "/roles/theirs", None, "role_not_found"),
        ("PUT", "/roles/theirs", {"permissions": []}, "role_not_found"),
        ("DELETE", "/roles/theirs", None, "role_not_found"),
    ):
        assert await manager.problem(method, path, body) == (404, code)
    for path in ("/members", "/invitations", "/roles?filter[built_in]=false"):
        assert (await manager.ok("GET", path))["data"] == []


async def test_an_invitation_shows_its_token_once(world: World, acme: Caller, manager: Caller) -> None:
    made = await manager("POST", "/invitations", {"email": "ada@example.com", "role": "viewer", "days": 1})
    document = made.json()
    assert (made.status_code, made.headers["shown-once"]) == (201, "true")
    assert document.pop("token").startswith("inv_")
    assert (document["state"], document["role"]) == ("open", "viewer")
    assert await manager.ok("GET", f"/invitations/{document['id']}") == document
    assert (await manager.ok("GET", "/invitations?filter[state]=open"))["data"] == [document]
    assert (await manager.ok("DELETE", f"/invitations/{document['id']}"))["state"] == "revoked"
    assert (await manager.ok("GET", "/invitations?filter[state]=open"))["data"] == []
    more = [world.plane.invite(acme.id, f"p{n}@example.com", "viewer", by="me").id for n in range(3)]
    assert await every(manager, "/invitations?sort=-created_at", 2) == [*more[::-1], document["id"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "ada"}, "/email"),
        ({"email": "ada@x"}, "/email"),
        ({"role": "No Role"}, "/role"),
        ({"days": 0}, "/days"),
        ({"days": 31}, "/days"),
        ({"token": "inv_mine"}, ""),
    ],
)
async def test_an_invitation_that_cannot_be_is_refused_with_the_place(
    manager: Caller, body: dict[str, Any], pointer: str
) -> None:
    answer = await manager("POST", "/invitations", {"email": "ada@example.com", "role": "viewer", **body})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


async def test_roles_are_listed_by_name_a_page_at_a_time(world: World, acme: Caller, manager: Caller) -> None:
    await manager.ok("POST", "/roles", {"name": "copywriter", "permissions": ["templates:*"]})
    names, cursor = [], ""
    while cursor is not None:
        page = await manager.ok("GET", f"/roles?limit=2{cursor and f'&cursor={cursor}'}")
        names += [role["name"] for role in page["data"]]
        cursor = page["next_cursor"]
    assert names == sorted([*Role, "copywriter"])
    own = (await manager.ok("GET", "/roles?filter[built_in]=false"))["data"]
    assert [role["permissions"] for role in own] == [["templates:publish", "templates:read", "templates:write"]]


async def test_a_role_is_changed_by_who_read_it_and_deleted(acme: Caller, manager: Caller) -> None:
    made = await manager("POST", "/roles", {"name": "copywriter", "permissions": []})
    tag = made.headers["etag"]
    body = {"permissions": ["templates:read"]}
    changed = await manager("PUT", "/roles/copywriter", body, headers={"If-Match": tag})
    assert changed.json()["permissions"] == ["templates:read"]
    refused = await manager.problem("PUT", "/roles/copywriter", body, headers={"If-Match": tag})
    assert refused == (412, "precondition_failed")
    assert await manager.problem("PUT", "/roles/owner", body) == (409, "built_in_role")
    assert await manager.problem("POST", "/roles", {"name": "admin", "permissions": []}) == (409, "role_exists")
    assert (await manager.ok("DELETE", "/roles/copywriter")) == {"name": "copywriter", "deleted": True}
    wrong = await manager("POST", "/roles", {"name": "x", "permissions": ["users:read", "users:fly"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/permissions/1")


async def test_a_key_with_few_permissions_defines_no_role_with_more(world: World, acme: Caller) -> None:
    few = scoped(world, acme, "members:write", "users:read")
    body = {"name": "r", "permissions": ["users:read", "keys:write"]}
    assert await few.problem("POST", "/roles", body) == (403, "escalation")
    assert (await few("POST", "/roles", {"name": "r", "permissions": ["users:read"]})).status_code == 201
    assert await few.problem("PUT", "/roles/r", {"permissions": ["audit:read"]}) == (403, "escalation")
    invited = {"email": "ada@example.com", "role": "analyst"}
    assert await few.problem("POST", "/invitations", invited) == (403, "escalation")
    assert (await few("POST", "/invitations", invited | {"role": "r"})).status_code == 201
