"""Keys over HTTP: what is shown, what is refused, and that nobody gives more than they have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.control_plane import api_keys
from cluster.control_plane.granting import Giver
from cluster.control_plane.models import Base
from serve_apps.gateway.routes.idempotency import HEADER, REPLAYED
from tests.support.gateway_world import Caller, World
from tests.support.people import joined
from whisperer.access.permissions import OF_SECRET_KEYS, SCOPES, Permission
from whisperer.errors import ForbiddenError

SOON = "2099-01-01T00:00:00Z"
KEY = {"kind": "secret", "scopes": ["users:read"]}


def scoped(world: World, tenant: Caller, *scopes: str, **more: Any) -> Caller:
    """Someone with a key of just these scopes."""
    made = world.plane.create_key(tenant.id, "secret", scopes=list(scopes), **more)
    return Caller(world, tenant.id, "/v1", made.key)


@pytest.fixture
def manager(world: World, acme: Caller) -> Caller:
    return scoped(world, acme, "keys:*", "users:*")


async def test_a_key_is_shown_once_and_works(world: World, acme: Caller, manager: Caller) -> None:
    made = await manager("POST", "/keys", KEY | {"label": "billing", "expires_at": SOON, "addresses": ["10.1.2.3/8"]})
    document = made.json()
    assert (made.status_code, made.headers["shown-once"], made.headers["cache-control"]) == (201, "true", "no-store")
    assert made.headers["location"] == f"/v1/keys/{document['id']}"
    found = world.plane.find_key(document.pop("key"))
    assert found is not None
    assert (found.id, found.permissions) == (document["id"], {Permission.USERS_READ})
    assert document["addresses"] == ["10.0.0.0/8"]
    assert document["expires_at"] == "2099-01-01T00:00:00.000Z"
    assert await manager.ok("GET", f"/keys/{document['id']}") == document
    assert document in (await manager.ok("GET", "/keys"))["data"]


async def test_the_operator_makes_keys_of_every_kind(world: World, acme: Caller) -> None:
    operator = world.operator(acme)
    for body in ({"kind": "write"}, {"kind": "secret"}, KEY):
        made = await operator("POST", "/keys", body)
        assert made.status_code == 201
        assert made.headers["location"].startswith(f"/internal/tenants/{acme.id}/keys/key_")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "secret"},
        {"kind": "write"},
        {"kind": "secret", "scopes": ["users:read", "campaigns:read"]},
        {"kind": "secret", "scopes": ["members:write"]},
    ],
)
async def test_a_key_gives_no_permission_that_it_does_not_have(
    world: World, acme: Caller, manager: Caller, body: dict[str, Any]
) -> None:
    before = world.plane.list_keys(acme.id)
    assert await manager.problem("POST", "/keys", body) == (403, "escalation")
    assert len(world.plane.list_keys(acme.id)) == len(before)


async def test_a_rotation_gives_no_more_either(world: World, acme: Caller, manager: Caller) -> None:
    mighty = world.plane.create_key(acme.id, "secret")
    assert await manager.problem("POST", f"/keys/{mighty.id}/rotate", {}) == (403, "escalation")
    assert world.plane.get_key(mighty.id, acme.id).replaced_by is None


async def test_a_key_that_ends_or_has_networks_makes_none_without(world: World, acme: Caller) -> None:
    ends = scoped(world, acme, "keys:write", "users:read", expires_at=4_000_000_000_000)
    assert await ends.problem("POST", "/keys", KEY) == (403, "escalation")
    assert await ends.problem("POST", "/keys", KEY | {"expires_at": "2097-01-01T00:00:00Z"}) == (403, "escalation")
    assert (await ends("POST", "/keys", KEY | {"expires_at": "2096-01-01T00:00:00Z"})).status_code == 201


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        (None, False),
        (["10.0.0.0/8"], False),
        (["10.1.0.0/16", "11.0.0.0/16"], False),
        (["2001:db8::/48"], False),
        (["10.1.7.0/24"], True),
    ],
)
def test_what_a_key_of_some_networks_makes_stays_within_them(
    world: World, acme: Caller, addresses: list[str] | None, allowed: bool
) -> None:
    maker = world.plane.create_key(acme.id, "secret", addresses=["10.1.0.0/16"])
    giver = Giver(OF_SECRET_KEYS, maker.id)

    def make() -> None:
        world.plane.create_key(acme.id, "secret", addresses=addresses, giver=giver)

    if allowed:
        make()
        return
    with pytest.raises(ForbiddenError, match="networks"):
        make()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=st.sets(st.sampled_from(sorted(SCOPES))), asked=st.sets(st.sampled_from(sorted(SCOPES)), min_size=1))
async def test_whatever_is_asked_for_a_key_never_gets_more_than_its_maker(
    world: World, acme: Caller, mine: set[Permission], asked: set[Permission]
) -> None:
    maker = scoped(world, acme, "keys:write", *map(str, mine))
    has = mine | {Permission.KEYS_WRITE}
    answer = await maker("POST", "/keys", {"kind": "secret", "scopes": sorted(map(str, asked))})
    assert (answer.status_code == 201) == (asked <= has), answer.text
    if answer.status_code == 201:
        found = world.plane.find_key(answer.json()["key"])
        assert found is not None
        assert found.permissions == asked


async def test_a_rotated_key_works_on_for_the_overlap(world: World, acme: Caller, manager: Caller) -> None:
    old = (await manager.ok("POST", "/keys", KEY))["id"]
    made = await manager("POST", f"/keys/{old}/rotate", {"overlap_hours": 1})
    new = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/keys/{new['id']}")
    assert (new["kind"], new["scopes"], new["expires_at"]) == ("secret", ["users:read"], None)
    was = await manager.ok("GET", f"/keys/{old}")
    assert (was["state"], was["replaced_by"]) == ("active", new["id"])
    assert was["expires_at"] is not None
    assert await manager.problem("POST", f"/keys/{old}/rotate", {}) == (409, "key_ended")
    now = (await manager.ok("POST", f"/keys/{new['id']}/rotate", {"overlap_hours": 0, "expires_at": SOON}))["id"]
    assert (await manager.ok("GET", f"/keys/{new['id']}"))["state"] == "expired"
    assert (await manager.ok("GET", f"/keys/{now}"))["expires_at"] == "2099-01-01T00:00:00.000Z"


async def test_a_revoked_key_is_listed_as_such_and_refused(world: World, acme: Caller, manager: Caller) -> None:
    made = await manager.ok("POST", "/keys", KEY)
    revoked = await manager.ok("DELETE", f"/keys/{made['id']}")
    assert (revoked["state"], "key" in revoked) == ("revoked", False)
    assert (await manager.ok("DELETE", f"/keys/{made['id']}")) == revoked
    assert world.plane.find_key(made["key"]) is None
    assert [one["id"] for one in (await manager.ok("GET", "/keys?filter[state]=revoked"))["data"]] == [made["id"]]


async def every(caller: Caller, path: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = await caller.ok("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        found += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            return found
        assert len(page["data"]) == limit
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_pages_hold_each_key_once_in_both_orders(world: World, acme: Caller, manager: Caller, limit: int) -> None:
    for kind in ("write", "secret", "write"):
        world.plane.create_key(acme.id, kind)
    all_of_them = [key.id for key in world.plane.list_keys(acme.id)]
    assert await every(manager, "/keys", limit) == all_of_them
    assert await every(manager, "/keys?sort=-created_at", limit) == all_of_them[::-1]
    writing = [key.id for key in world.plane.list_keys(acme.id) if key.kind == "write"]
    assert await every(manager, "/keys?filter[kind]=write", limit) == writing


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("filter[colour]=red", "unknown_filter"),
        ("filter=kind", "unknown_filter"),
        ("filter[kind]=other", "invalid_filter"),
        ("sort=colour", "unknown_sort"),
        ("cursor=zz", "invalid_request"),
    ],
)
async def test_what_a_list_does_not_have_is_refused(manager: Caller, query: str, code: str) -> None:
    status, found = await manager.problem("GET", f"/keys?{query}")
    assert (status in (400, 422), found) == (True, code)


async def test_another_tenants_keys_are_not_there(world: World, acme: Caller, manager: Caller) -> None:
    globex = world.tenant("globex")
    theirs = world.plane.list_keys(globex.id)[0].id
    for method, path, body in (
        ("GET", f"/keys/{theirs}", None),
        ("DELETE", f"/keys/{theirs}", None),
        ("POST", f"/keys/{theirs}/rotate", {}),
    ):
        assert await manager.problem(method, path, body) == (404, "key_not_found")
    assert all(key.id != theirs for key in world.plane.list_keys(acme.id))


async def test_a_keys_text_finds_nothing(world: World, acme: Caller, manager: Caller) -> None:
    made = await manager.ok("POST", "/keys", KEY)
    assert await manager.problem("GET", f"/keys/{made['key']}") == (404, "key_not_found")


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"kind": "other"}, "/kind"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["users:fly"]}, "/scopes/0"),
        ({"scopes": ["owners:write"]}, "/scopes/0"),
        ({"kind": "write"}, "/scopes"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
        ({"addresses": ["10.0.0.0/8", "nowhere"]}, "/addresses/1"),
        ({"label": "x" * 201}, "/label"),
        ({"admin": True}, ""),
    ],
)
async def test_a_key_that_cannot_be_made_is_refused_with_the_place(
    manager: Caller, more: dict[str, Any], pointer: str
) -> None:
    answer = await manager("POST", "/keys", KEY | more)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_good_keys_are_bounded_and_ended_ones_make_room(
    world: World, acme: Caller, manager: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_KEYS", 3)
    made = await manager.ok("POST", "/keys", KEY)
    assert await manager.problem("POST", "/keys", KEY) == (409, "too_many_keys")
    await manager.ok("DELETE", f"/keys/{made['id']}")
    await manager.ok("POST", "/keys", KEY)


async def test_of_ended_keys_the_newest_are_kept(
    world: World, acme: Caller, manager: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_KEPT", 4)
    ended = [await manager.ok("POST", "/keys", KEY) for _ in range(2)]
    world.plane.note_uses({ended[0]["id"]: 1})
    for one in ended:
        await manager.ok("DELETE", f"/keys/{one['id']}")
    await manager.ok("POST", "/keys", KEY)
    found = [key.id for key in world.plane.list_keys(acme.id)]
    assert (ended[0]["id"] in found, ended[1]["id"] in found, len(found)) == (False, True, 4)


# An answer that shows a secret once, under an Idempotency-Key


def stored(world: World) -> Sequence[bytes]:
    """Everything that the installation has on disk, and of a PostgreSQL database all rows of all tables."""
    folder = Path(world.parts.installation.data_dir)
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    with world.plane._engine.connect() as connection:
        return found + [
            repr(connection.execute(table.select()).all()).encode() for table in Base.metadata.sorted_tables
        ]


@pytest.mark.parametrize("made_by", ["key", "rotation", "invitation", "password reset"])
async def test_a_repeat_reads_no_secret_and_nothing_stores_it(world: World, acme: Caller, made_by: str) -> None:
    operator = world.operator(acme)
    old = await operator.ok("POST", "/keys", KEY)
    bob = joined(world.plane, acme.id, "bob@example.com", "viewer").id
    path, body = {
        "key": ("/keys", KEY),
        "rotation": (f"/keys/{old['id']}/rotate", {}),
        "invitation": ("/invitations", {"email": "ada@example.com", "role": "viewer"}),
        "password reset": (f"/members/{bob}/password-reset", {}),
    }[made_by]
    headers = {HEADER: "k"}
    first = await operator("POST", path, body, headers=headers)
    made = first.json()
    secret = made["url"].partition("token=")[2] if "url" in made else made.get("key") or made["token"]
    again = await operator("POST", path, body, headers=headers)
    assert (again.status_code, again.json()["code"], again.headers[REPLAYED]) == (409, "shown_once", "true")
    assert again.headers["location"] == first.headers["location"]
    assert secret not in again.text
    assert await operator.problem("POST", path, {**body, "x": 1}, headers=headers) == (422, "idempotency_key_reused")
    written = stored(world)
    assert any(made.get("id", bob).encode() in content for content in written)
    assert not any(secret.encode() in content for content in written)


async def test_a_refused_call_with_a_secret_may_be_sent_again(world: World, acme: Caller, manager: Caller) -> None:
    headers = {HEADER: "k"}
    assert await manager.problem("POST", "/keys", {"kind": "write"}, headers=headers) == (403, "escalation")
    assert (await manager("POST", "/keys", KEY, headers=headers)).status_code == 201
