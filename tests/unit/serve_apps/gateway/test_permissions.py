"""Every route names what it needs, and lets in exactly those who have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from cluster.control_plane.audit.acting import ActorKind
from serve_apps.gateway.http.permitted import every_route, permission_of
from serve_apps.gateway.http.principal import Principal
from tests.support.gateway_world import Caller, World
from tests.support.routes import filled
from whisperer.access.permissions import EVERYTHING, OF_SECRET_KEYS, Permission
from whisperer.access.roles import BUILT_IN, Role
from whisperer.errors import InvalidKeyError
from whisperer.ids import TenantId

FOR_ANYBODY = {
    "/health",
    "/version",
    "/livez",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/static/{name}",
    "/.well-known/jwks.json",
}
"""Show nothing of any tenant."""
SIGNED = ("/v1/exports/{export_id}/file", "/v1/callbacks/{provider}/{token}")
"""Shows what its token was signed for."""
SIGNING_IN = ("/auth/", "/v1/auth/")
"""Ask who somebody is, or are about the caller alone."""
OF_THE_OPERATOR = "/internal/"


def calls(world: World) -> Iterator[tuple[str, str, Permission]]:
    """Each call that callers make for their tenant: its method, path and permission."""
    for route in every_route(world.app):
        permission = permission_of(route.dependant) if hasattr(route, "dependant") else None
        if permission is not None and route.path.startswith("/v1/"):
            for method in sorted(route.methods):
                yield method, route.path, permission


class SignedIn:
    """Lets a test call as anybody."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.principal: Principal | None = None
        monkeypatch.setattr(world.parts.access, "principal", self._who)

    async def _who(self, _: Request) -> Principal:
        if self.principal is None:
            raise InvalidKeyError("nobody is signed in")
        return self.principal

    def as_role(self, tenant_id: str, role: Role) -> None:
        self.principal = Principal(ActorKind.PERSON, "pe_1", "ada@example.com", TenantId(tenant_id), BUILT_IN[role])


@pytest.fixture
def signed_in(world: World, monkeypatch: pytest.MonkeyPatch) -> SignedIn:
    return SignedIn(world, monkeypatch)


def test_every_route_names_its_permission_or_is_for_the_operator_or_for_anybody(world: World) -> None:
    for route in every_route(world.app):
        if route.path in (*FOR_ANYBODY, *SIGNED) or route.path.startswith((*SIGNING_IN, "/v1/me/")):  # a user's own
            continue
        permission = permission_of(route.dependant)
        if permission is None:
            assert not route.path.startswith("/v1/"), f"{route.path} names no permission"
            assert route.path.startswith(OF_THE_OPERATOR) or route.path in pages(world), route.path


def pages(world: World) -> set[str]:
    """The pages, which the test below asks for as a stranger."""
    return {
        route.path
        for route in every_route(world.app)
        if not route.path.startswith(("/v1/", OF_THE_OPERATOR)) and route.path not in FOR_ANYBODY
    }


async def test_a_stranger_sees_no_page_and_nothing_of_the_operator(world: World, acme: Caller) -> None:
    transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://whisperer.example.com") as stranger:
        for route in every_route(world.app):
            if route.path in FOR_ANYBODY or route.path.startswith(SIGNING_IN):
                continue
            for method in sorted(route.methods - {"HEAD"}):
                answer = await stranger.request(method, filled(route.path, tenant=acme.id), content=b"{}")
                if route.path in SIGNED:
                    assert answer.status_code == 404
                    continue
                if route.path == "/":  # says what this is, and how to see more
                    assert "acme" not in answer.text
                    continue
                assert answer.status_code in (401, 403), f"{method} {route.path}: {answer.status_code} {answer.text}"


async def test_who_is_asked_who_they_are_sees_nothing_of_a_tenant(world: World, acme: Caller) -> None:
    transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
    n_asked = 0
    async with httpx.AsyncClient(transport=transport, base_url="http://whisperer.example.com") as stranger:
        for route in every_route(world.app):
            if not route.path.startswith(SIGNING_IN):
                continue
            for method in sorted(route.methods - {"HEAD"}):
                answer = await stranger.request(method, filled(route.path, tenant=acme.id), content=b"{}")
                n_asked += 1
                assert "acme" not in answer.text
                if route.path == "/v1/auth/revoke":
                    assert answer.status_code == 400
                elif answer.status_code == 303:
                    assert answer.headers["location"].startswith("/auth/sign-in")
                elif not (method == "GET" and route.path.startswith("/auth/")):
                    assert 400 <= answer.status_code < 500, f"{method} {route.path}: {answer.status_code}"
    assert n_asked > 25


async def test_each_role_may_do_exactly_what_the_table_says(world: World, acme: Caller, signed_in: SignedIn) -> None:
    globex = world.plane.create_tenant("globex")
    for tenant_id in (acme.id, globex.id):
        for role in Role:
            signed_in.as_role(tenant_id, role)
            for method, path, permission in calls(world):
                answer = await acme.http.request(method, filled(path), content=b"{}")
                said = f"{role} {method} {path}: {answer.status_code} {answer.text[:200]}"
                if permission in BUILT_IN[role]:
                    assert answer.status_code not in (401, 403, 500), said
                else:
                    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), said


async def test_who_is_not_signed_in_may_do_nothing(world: World, acme: Caller, signed_in: SignedIn) -> None:
    for method, path, _ in calls(world):
        answer = await acme.http.request(method, filled(path), content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key"), f"{method} {path}"


async def test_a_key_may_do_what_its_scopes_say(world: World, acme: Caller) -> None:
    for permission in sorted(OF_SECRET_KEYS):
        key = world.plane.create_key(acme.id, "secret", scopes=[permission]).key
        for method, path, needed in calls(world):
            answer = await acme.http.request(
                method, filled(path), content=b"{}", headers={"Authorization": f"Bearer {key}"}
            )
            assert (answer.status_code == 403) == (needed != permission), f"{permission} {method} {path} {answer.text}"


async def test_publishing_needs_more_than_writing(world: World, acme: Caller) -> None:
    key = world.plane.create_key(acme.id, "secret", scopes=["campaigns:write", "templates:read"]).key
    headers = {"Authorization": f"Bearer {key}"}
    for method, path in (("POST", "/v1/campaigns"), ("PUT", "/v1/campaigns/x")):
        answer = await acme.http.request(method, path, json={"name": "x", "publish": True}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    answer = await acme.http.post("/v1/templates/x/preview", json={"user_id": "u-1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_the_operator_may_do_everything_for_a_tenant(world: World, acme: Caller) -> None:
    operator = world.operator(acme)
    for method, path, _ in calls(world):
        answer = await operator(method, filled(path.removeprefix("/v1")), {})
        assert answer.status_code not in (401, 403, 500), f"{method} {path}: {answer.text}"


async def test_a_person_s_look_at_a_user_is_entered_without_the_user_s_id(
    world: World, acme: Caller, signed_in: SignedIn
) -> None:
    world.user(acme, "ada-7")
    signed_in.principal = Principal(ActorKind.PERSON, "pe_1", "eve@example.com", TenantId(acme.id), EVERYTHING)
    await acme.ok("GET", "/users/ada-7")
    await acme("GET", "/users/nobody-7/export", headers={"X-Request-Id": "r-7"})
    await acme.ok("GET", "/sink/messages", params={"channel": "email"})
    log: list[dict[str, Any]] = (await acme.ok("GET", "/audit", params={"filter[verb]": "read"}))["data"]
    assert [(entry["resource"], entry["operation"]) for entry in log] == [
        ("messages", "GET /v1/sink/messages"),
        ("users", "GET /v1/users/{user_id}/export"),
        ("users", "GET /v1/users/{user_id}"),
    ]
    assert log[0]["after"] == {"parameters": ["channel"]}
    assert all(entry["actor"]["name"] == "eve@example.com" for entry in log)
    assert "ada-7" not in str(log)
    found = await acme.ok("GET", "/audit", params={"filter[user_id]": "ada-7"})
    assert [entry["serial"] for entry in found["data"]] == [log[2]["serial"]]


async def test_what_a_key_reads_is_not_entered(world: World, acme: Caller) -> None:
    world.user(acme, "ada-7")
    before = len((await acme.ok("GET", "/audit"))["data"])
    await acme.ok("GET", "/users/ada-7")
    assert len((await acme.ok("GET", "/audit"))["data"]) == before


async def test_a_key_s_change_is_entered_with_its_call(world: World, acme: Caller) -> None:
    await acme.ok("PUT", "/experiment", {"holdout": 0.2})
    entry = (await acme.ok("GET", "/audit", params={"limit": 1}))["data"][0]
    assert entry["operation"] == "PUT /v1/experiment"
    assert (entry["actor"]["kind"], entry["before"], entry["after"]) == ("key", {"holdout": 0.05}, {"holdout": 0.2})
    assert await acme.ok("GET", f"/audit/{entry['serial']}") == entry


async def test_the_log_is_paged_exported_and_verified(world: World, acme: Caller) -> None:
    for share in range(1, 8):
        await acme.ok("PUT", "/experiment", {"holdout": share / 100})
    seen, cursor = [], None
    while True:
        page = await acme.ok("GET", "/audit", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        seen += [entry["serial"] for entry in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == list(range(seen[0], 0, -1))
    exported = await acme("GET", "/audit/export")
    assert exported.headers["content-type"] == "application/x-ndjson"
    assert len(exported.text.splitlines()) == len(seen)
    verified = await acme.ok("GET", "/audit/verification")
    assert (verified["n_entries"], verified["is_whole"]) == (len(seen), True)
    for path, status in (("/audit/0", 404), ("/audit/99999", 404), ("/audit/x", 422), ("/audit?cursor=x", 422)):
        assert (await acme("GET", path)).status_code == status
    assert await acme.problem("GET", "/audit?filter[since]=yesterday") == (400, "invalid_request")


async def test_one_tenant_sees_nothing_of_another_s_log(world: World, acme: Caller) -> None:
    globex = world.tenant("globex")
    await globex.ok("PUT", "/experiment", {"holdout": 0.314159})
    assert "0.314159" not in str(await acme.ok("GET", "/audit"))
