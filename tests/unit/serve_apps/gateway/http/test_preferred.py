"""`Prefer: return=minimal` on both ways, under Idempotency-Keys, and where it is not honoured."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serve_apps.gateway.http.preferred import Preferred, covers, wants_minimal
from serve_apps.gateway.http.shortcut import Shortcut
from tests.support.gateway_world import Caller, World
from tests.support.people import member
from whisperer.access.permissions import SCOPES

MINIMAL = {"Prefer": "return=minimal"}
SEGMENT = {"predicate": {"event": "Order Completed", "op": "gte", "count": 3, "days": 30}}


@pytest.fixture(params=["whole way", "short way"])
def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    made = Caller(world, acme.id, "/v1", world.plane.create_key(acme.id, "secret", scopes=sorted(SCOPES)).key)
    if request.param == "short way":
        transport = httpx.ASGITransport(app=Preferred(Shortcut(world.own_app)))
        made.http = httpx.AsyncClient(transport=transport, base_url=made.http.base_url, headers=made.http.headers)
    return made


async def test_what_was_changed_is_left_out_and_its_tag_is_not(caller: Caller) -> None:
    full = await caller("PUT", "/segments/regulars", SEGMENT)
    assert (full.status_code, full.headers["vary"]) == (200, "Prefer")
    assert "preference-applied" not in full.headers
    small = await caller("PUT", "/segments/regulars", SEGMENT, headers=MINIMAL)
    assert (small.status_code, small.content) == (204, b"")
    assert small.headers["preference-applied"] == "return=minimal"
    assert small.headers["vary"] == "Prefer"
    assert small.headers["etag"] != full.headers["etag"]
    assert not {"content-type", "content-length"} & small.headers.keys()
    assert (await caller.ok("GET", "/segments/regulars"))["version"] == 2


async def test_what_was_made_is_named_and_not_shown(caller: Caller) -> None:
    made = await caller("POST", "/segments", {"name": "new one", **SEGMENT}, headers=MINIMAL)
    assert made.status_code == 400  # a refusal is shown whatever is preferred
    assert made.json()["code"]
    made = await caller("POST", "/segments", {"name": "new-one", **SEGMENT}, headers=MINIMAL)
    assert (made.status_code, made.content, made.headers["content-length"]) == (201, b"", "0")
    assert made.headers["location"] == "/v1/segments/new-one"
    assert (await caller.ok("GET", made.headers["location"].removeprefix("/v1")))["name"] == "new-one"


async def test_a_stored_answer_is_left_out_or_shown_as_the_repeat_prefers(caller: Caller) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await caller("PUT", "/segments/regulars", SEGMENT, headers=MINIMAL | key)
    again = await caller("PUT", "/segments/regulars", SEGMENT, headers=MINIMAL | key)
    shown = await caller("PUT", "/segments/regulars", SEGMENT, headers=key)
    assert [one.status_code for one in (first, again, shown)] == [204, 204, 200]
    assert [one.headers.get("idempotent-replay") for one in (first, again, shown)] == [None, "true", "true"]
    assert shown.json()["version"] == 1


async def test_a_secret_is_shown_once_whatever_is_preferred(world: World, caller: Caller) -> None:
    made = await caller("POST", "/keys", {"kind": "secret", "scopes": ["users:read"]}, headers=MINIMAL)
    assert made.status_code == 201
    assert made.json()["key"].startswith("sk_")
    assert "preference-applied" not in made.headers
    somebody = member(world.plane, caller.id, "ada@example.com", "viewer")
    link = await caller.ok("POST", f"/members/{somebody.id}/password-reset", headers=MINIMAL)
    assert "token=" in link["url"]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (["return=minimal"], True),
        (["Return = Minimal"], True),
        (['return="minimal"; x=1'], True),
        (["wait=10, return=minimal"], True),
        (["wait=10", "return=minimal"], True),
        (["return=representation, return=minimal"], False),  # the first one counts
        (["minimal"], False),
        (["return"], False),
        ([], False),
    ],
)
def test_a_preference_is_read_as_the_rfc_says(written: list[str], wanted: bool) -> None:
    headers = [(b"prefer", one.encode()) for one in written]
    assert wants_minimal(headers) is wanted


@pytest.mark.parametrize(
    ("call", "covered"),
    [
        ("PUT /v1/segments/a", True),
        ("PATCH /internal/tenants/acme/issuers/i", True),
        ("DELETE /v1/users/u", True),
        ("PUT /v1/me/consent", True),
        ("GET /v1/segments/a", False),
        ("POST /v1/decisions", False),
        ("POST /v1/templates/a/preview", False),
        ("POST /v1/auth/token", False),
        ("POST /v1/templates/bulk", False),
        ("POST /v1/users/consent/bulk", False),
        ("POST /v1/track", True),  # never comes here
        ("POST /internal/shards/move", False),
    ],
)
def test_only_calls_that_answer_with_what_they_changed(call: str, covered: bool) -> None:
    assert covers(*call.split()) is covered


async def test_every_part_of_a_body_is_left_out() -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    transport = httpx.ASGITransport(app=Preferred(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.put("/v1/segments/a", headers=MINIMAL)
    assert (answer.status_code, answer.content) == (204, b"")
