"""Each route about who may do what needs exactly the permission that the table says, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serve_apps.gateway.http.permitted import every_route, is_for_users, permission_of
from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_keys import scoped
from whisperer.access.permissions import SCOPES, Permission

TAGS = {"keys", "members", "environments", "settings", "reports", "me", "inbox"}

NEEDS = {
    "GET /v1/keys": "keys:read",
    "POST /v1/keys": "keys:write",
    "GET /v1/keys/{key_id}": "keys:read",
    "POST /v1/keys/{key_id}/rotate": "keys:write",
    "DELETE /v1/keys/{key_id}": "keys:write",
    "GET /v1/members": "members:read",
    "GET /v1/members/{member_id}": "members:read",
    "PUT /v1/members/{member_id}": "members:write",
    "DELETE /v1/members/{member_id}": "members:write",
    "POST /v1/members/{member_id}/password-reset": "members:write",
    "GET /v1/invitations": "members:read",
    "POST /v1/invitations": "members:write",
    "GET /v1/invitations/{invitation_id}": "members:read",
    "DELETE /v1/invitations/{invitation_id}": "members:write",
    "GET /v1/roles": "members:read",
    "POST /v1/roles": "members:write",
    "GET /v1/roles/{role}": "members:read",
    "PUT /v1/roles/{role}": "members:write",
    "DELETE /v1/roles/{role}": "members:write",
    "GET /v1/environments": "environments:read",
    "POST /v1/environments": "environments:write",
    "GET /v1/environments/{environment}": "environments:read",
    "POST /v1/environments/{environment}/keys": "environments:write",
    "GET /v1/settings": "settings:read",
    "PUT /v1/settings": "settings:write",
    "POST /v1/settings/user_secret/rotate": "settings:write",
    "GET /v1/settings/generator": "settings:read",
    "PUT /v1/settings/generator": "settings:write",
    "DELETE /v1/settings/generator": "settings:write",
    "GET /v1/quality": "reports:read",
    "GET /v1/reports": "reports:read",
    "POST /v1/reports": "reports:write",
    "GET /v1/reports/{name}": "reports:read",
    "PUT /v1/reports/{name}": "reports:write",
    "DELETE /v1/reports/{name}": "reports:write",
    "GET /v1/reports/{name}/result": "reports:read",
    "GET /v1/me/consent": "",
    "PUT /v1/me/consent": "",
    "GET /v1/users/{user_id}/inbox": "users:read",
    "POST /v1/users/{user_id}/inbox/read": "users:write",
    "POST /v1/users/{user_id}/inbox/{message}/click": "users:write",
    **{
        f"POST /v1/users/{{user_id}}/inbox/{{message}}/{mark}": "users:write"
        for mark in ("seen", "read", "unread", "archive", "unarchive")
    },
    "POST /v1/users/token": "users:write",
    "POST /v1/users/{user_id}/token": "users:write",
}
""""": a user's own token."""


def routes(world: World) -> Iterator[tuple[str, Any]]:
    for route in every_route(world.app):
        path, tags = getattr(route, "path_format", ""), set(getattr(route, "tags", ()))
        if path.startswith("/v1/") and (TAGS & tags or (path.endswith("/token") and "users" in tags)):
            for method in route.methods:
                yield f"{method} {path}", route


def test_every_route_is_in_the_table(world: World) -> None:
    found = {
        called: "" if is_for_users(route.dependant) else str(permission_of(route.dependant))
        for called, route in routes(world)
    }
    assert found == NEEDS


def test_every_permission_is_needed_by_some_call(world: World) -> None:
    needed = {permission_of(route.dependant) for route in every_route(world.app) if hasattr(route, "dependant")}
    of_events, within_a_call = Permission.EVENTS_WRITE, Permission.OWNERS_WRITE  # has routes of its own; of members
    assert set(Permission) - needed == {of_events, within_a_call}


@pytest.mark.parametrize("called", [called for called, needed in NEEDS.items() if needed])
async def test_a_key_with_everything_but_that_is_refused_and_with_that_alone_let_in(
    world: World, acme: Caller, called: str
) -> None:
    method, _, path = called.partition(" ")
    path = path.removeprefix("/v1").replace("{user_id}", "u").replace("{name}", "n")
    while "{" in path:
        path = path.partition("{")[0] + "nobody" + path.partition("}")[2]
    needed = Permission(NEEDS[called])
    without = scoped(world, acme, *sorted(SCOPES - {needed}))
    assert await without.problem(method, path, {}) == (403, "forbidden")
    alone = await scoped(world, acme, needed)(method, path, {})
    assert alone.status_code != 401
    if alone.status_code == 403:  # of two that it needs, it has the first
        assert called == "POST /v1/environments/{environment}/keys"
    write_key = Caller(world, acme.id, "/v1", world.plane.create_key(acme.id, "write").key)
    assert await write_key.problem(method, path, {}) == (401, "invalid_key")
