"""Calls that are sent twice, and writers who did not see each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.control_plane import replays
from serve_apps.gateway.routes.idempotency import HEADER, covers
from serve_apps.gateway.services.segments import PublishedSegment
from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS

SEGMENT = {"name": "buyers", "predicate": {"event": "Paid"}}


def under(key: str, **more: str) -> dict[str, Any]:
    return {"headers": {HEADER: key, **more}}


@pytest.fixture(params=["tenant", "operator"])
def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    return acme if request.param == "tenant" else world.operator(acme)


async def test_the_same_call_is_carried_out_once_and_answered_alike(caller: Caller, world: World) -> None:
    first = await caller("POST", "/segments", SEGMENT, **under("k"))
    again = await caller("POST", "/segments", SEGMENT, **under("k"))
    assert (first.status_code, first.headers.get("idempotent-replay")) == (201, None)
    assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert [s.version for s in world.plane.list_segments(caller.id)] == [1]
    assert (await caller.ok("POST", "/segments", SEGMENT, **under("other")))["version"] == 2
    assert (await caller.ok("POST", "/segments", SEGMENT))["version"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/segments", SEGMENT | {"name": "others"}),
        ("PUT", "/segments/buyers", SEGMENT),
        ("DELETE", "/segments/buyers", None),
    ],
)
async def test_another_call_under_the_same_key_is_refused(
    acme: Caller, method: str, path: str, body: dict[str, Any] | None
) -> None:
    await acme.ok("POST", "/segments", SEGMENT, **under("k"))
    assert await acme.problem(method, path, body, **under("k")) == (422, "idempotency_key_reused")


async def test_a_call_that_is_under_way_is_not_begun_again(acme: Caller, world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    publish = world.parts.publishing.publish

    async def slowly(*args: Any, **named: Any) -> PublishedSegment:
        begun.set()
        await go_on.wait()
        return await publish(*args, **named)

    world.parts.publishing.publish = slowly  # type: ignore[method-assign]
    first = asyncio.ensure_future(acme("POST", "/segments", SEGMENT, **under("k")))
    await begun.wait()
    answer = await acme("POST", "/segments", SEGMENT, **under("k"))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (409, "call_in_progress", "1")
    go_on.set()
    assert (await first).status_code == 201


async def test_a_call_goes_on_when_its_caller_hangs_up(acme: Caller, world: World) -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    publish, finish = world.parts.publishing.publish, world.plane.finish_call
    loop = asyncio.get_running_loop()

    async def slowly(*args: Any, **named: Any) -> PublishedSegment:
        begun.set()
        await go_on.wait()
        return await publish(*args, **named)

    def finished(*args: Any) -> None:
        finish(*args)
        loop.call_soon_threadsafe(ended.set)

    world.parts.publishing.publish = slowly  # type: ignore[method-assign]
    world.plane.finish_call = finished  # type: ignore[method-assign]
    first = asyncio.ensure_future(acme("POST", "/segments", SEGMENT, **under("k")))
    await begun.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go_on.set()
    await ended.wait()
    again = await acme("POST", "/segments", SEGMENT, **under("k"))
    assert (again.headers["idempotent-replay"], again.json()["version"]) == ("true", 1)


async def test_what_was_refused_may_be_corrected_under_its_key(acme: Caller) -> None:
    body = {"name": "welcome", "publish": True, **CAMPAIGN}
    assert await acme.problem("POST", "/campaigns", body, **under("k")) == (422, "unknown_template")
    await acme.ok("PUT", "/templates/hello", SMS)
    made = await acme("POST", "/campaigns", body, **under("k"))
    assert (made.status_code, made.headers.get("idempotent-replay")) == (201, None)
    again = await acme("POST", "/campaigns", body, **under("k"))
    assert (again.status_code, again.headers["etag"]) == (201, made.headers["etag"])


async def test_a_bug_of_ours_gives_the_key_back(acme: Caller, world: World) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    publish, world.parts.publishing.publish = world.parts.publishing.publish, fail  # type: ignore[method-assign,assignment]
    assert await acme.problem("POST", "/segments", SEGMENT, **under("k")) == (500, "internal")
    world.parts.publishing.publish = publish  # type: ignore[method-assign]
    assert (await acme.ok("POST", "/segments", SEGMENT, **under("k")))["version"] == 1


async def test_keys_of_tenants_never_meet_and_a_stranger_replays_nothing(acme: Caller, world: World) -> None:
    globex = world.tenant("globex")
    await acme.ok("POST", "/segments", SEGMENT, **under("k"))
    theirs = await globex("POST", "/segments", SEGMENT | {"name": "theirs"}, **under("k"))
    assert (theirs.status_code, theirs.headers.get("idempotent-replay")) == (201, None)
    for key in ("", "sk_wrong", world.plane.create_key(acme.id, "write").key):
        headers = {HEADER: "k", "Authorization": f"Bearer {key}".strip()}
        assert (await acme("POST", "/segments", SEGMENT, headers=headers)).status_code == 401


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"a\x7fb", "é".encode("latin-1")])
async def test_a_key_that_is_none_is_refused(acme: Caller, key: bytes) -> None:
    answer = await acme("POST", "/segments", SEGMENT, headers={HEADER.encode(): key})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_a_body_that_is_too_large_is_refused_as_ever(acme: Caller) -> None:
    assert await acme.problem("POST", "/segments", b" " * 600_000, **under("k")) == (413, "body_too_large")


async def test_keeping_answers_does_not_look_like_a_change_of_configuration(acme: Caller, world: World) -> None:
    await acme.ok("POST", "/segments", SEGMENT, **under("k"))
    before = world.plane.version()
    await acme.ok("POST", "/segments", SEGMENT, **under("k"))
    assert world.plane.version() == before


def test_every_call_that_changes_something_takes_a_key(world: World) -> None:
    without = []
    for path, operations in world.app.openapi()["paths"].items():
        for method, operation in operations.items():
            names = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
            if method != "get" and not path.startswith("/v1/auth/") and HEADER.lower() not in names:
                without.append((method, path))
    assert without == [
        ("put", "/v1/me/consent"),
        ("post", "/v1/callbacks/{provider}/{token}"),
        ("post", "/v1/templates/{name}/preview"),
        ("post", "/v1/templates/{name}/lint"),
        ("post", "/v1/templates/{name}/score"),
        *(("post", f"/v1/analytics/{kind}") for kind in ("trends", "funnels", "retention", "lifecycle", "stickiness")),
    ]


def test_a_user_of_any_name_is_covered() -> None:
    assert covers("DELETE", "/v1/users/decisions")
    assert covers("DELETE", "/internal/tenants/acme/users/templates/x/preview")
    assert not covers("POST", "/v1/decisions")
    assert not covers("POST", "/internal/tenants/acme/decisions")
    assert not covers("POST", "/v1/templates/hello/preview")
    assert not covers("GET", "/v1/campaigns")
    assert not covers("POST", "/internal/shards/move")


def test_a_key_whose_call_never_ended_is_free_after_a_while(world: World, acme: Caller) -> None:
    plane, at = world.plane, 1_700_000_000_000
    assert plane.begin_call(acme.id, "k", "f", at) is None
    later = at + replays.HELD_MS
    assert plane.begin_call(acme.id, "k", "f", later) is None
    plane.finish_call(acme.id, "k", at, replays.Answer(200, {}, b"the first, late"))
    plane.finish_call(acme.id, "k", later, replays.Answer(200, {}, b"the second"))
    found = plane.begin_call(acme.id, "k", "f", later)
    assert found is not None
    assert found.body == b"the second"


def test_answers_are_kept_for_a_day_and_so_many_of_them(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, at = world.plane, 1_700_000_000_000
    monkeypatch.setattr(replays, "MAX_KEPT", 3)
    for n in range(5):
        assert plane.begin_call(acme.id, f"k{n}", "f", at + n) is None
        plane.finish_call(acme.id, f"k{n}", at + n, replays.Answer(200, {}, b"done"))
    assert plane.begin_call(acme.id, "k4", "f", at + 5) is not None
    assert plane.begin_call(acme.id, "k0", "f", at + 5) is None
    assert plane.begin_call(acme.id, "k4", "f", at + 4 + replays.KEPT_MS) is None


# If-Match


@pytest.mark.parametrize(
    ("path", "body", "changed"),
    [
        ("/campaigns/welcome", CAMPAIGN, CAMPAIGN | {"purpose": "onboarding"}),
        ("/templates/tips", SMS, SMS | {"missing": "blank"}),
    ],
)
async def test_of_two_writers_who_read_the_same_the_second_is_told(
    acme: Caller, path: str, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    await acme.ok("PUT", path, body)
    read = (await acme("GET", path)).headers["etag"]
    assert (await acme("PUT", path, changed, headers={"If-Match": read})).status_code == 200
    refused = await acme("PUT", path, body, headers={"If-Match": read})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    now = (await acme("GET", path)).headers["etag"]
    assert now != read
    assert now in refused.json()["detail"]
    assert (await acme("PUT", path, body, headers={"If-Match": f'"other", {now}'})).status_code == 200
    assert (await acme("PUT", path, body, headers={"If-Match": "*"})).status_code == 200
    assert await acme.problem("PUT", path + "2", body, headers={"If-Match": "*"}) == (412, "precondition_failed")
    assert await acme.problem("GET", path + "2") in ((404, "campaign_not_found"), (404, "template_not_found"))


async def test_the_tag_of_a_live_campaign_tells_of_the_draft_beside_it(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/hello", SMS)
    tags = [(await acme("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})).headers["etag"]]
    for purpose in ("onboarding", "news"):
        tags.append((await acme("PUT", "/campaigns/welcome", CAMPAIGN | {"purpose": purpose})).headers["etag"])
    tags.append((await acme("POST", "/campaigns/welcome/publish")).headers["etag"])
    tags.append((await acme("POST", "/campaigns/welcome/pause")).headers["etag"])
    assert len(set(tags)) == 5
    assert "etag" not in (await acme("GET", "/campaigns/welcome?version=1")).headers


async def test_without_if_match_the_last_writer_wins(acme: Caller) -> None:
    for _ in range(2):
        assert (await acme("PUT", "/campaigns/welcome", CAMPAIGN)).status_code == 200
