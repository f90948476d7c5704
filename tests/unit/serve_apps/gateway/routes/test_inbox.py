"""A user's inbox over HTTP: who reads and marks it, what is listed, and polling that costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_keys import scoped
from tests.unit.serve_apps.gateway.routes.test_me import browser
from whisperer.access.permissions import Permission
from whisperer.access.user_tokens import new_user_token
from whisperer.eligibility.standing import Standing
from whisperer.shard.views.user import UserView

MARKS = ("seen", "read", "unread", "archive", "unarchive")
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "/read", None),
    ("POST", "/dec_1/click", {"action": 0}),
    *(("POST", f"/dec_1/{mark}", None) for mark in MARKS),
]


@pytest.fixture
def ann(world: World, acme: Caller) -> Caller:
    """Acme, with two messages to Ann and one to Bob."""
    for user in ("ann", "bob"):
        world.user(acme, user)
    for id in ("dec_1", "dec_2"):
        world.message(acme, "ann", id)
    world.message(acme, "bob", "dec_b")
    return acme


async def test_messages_come_newest_first_with_the_number_unread(ann: Caller) -> None:
    page = await ann.ok("GET", "/users/ann/inbox")
    assert [one["id"] for one in page["data"]] == ["dec_2", "dec_1"]
    assert (page["unread"], page["next_cursor"]) == (2, None)
    await ann.ok("POST", "/users/ann/inbox/dec_1/read")
    await ann.ok("POST", "/users/ann/inbox/dec_2/archive")
    page = await ann.ok("GET", "/users/ann/inbox", params={"filter[state]": "read"})
    assert ([one["id"] for one in page["data"]], page["unread"]) == (["dec_1"], 0)
    page = await ann.ok("GET", "/users/ann/inbox", params={"filter[archived]": "false"})
    assert [one["id"] for one in page["data"]] == ["dec_1"]
    assert await ann.ok("POST", "/users/ann/inbox/dec_2/unarchive")
    assert (await ann.ok("GET", "/users/ann/inbox"))["unread"] == 1


async def test_each_mark_is_answered_with_the_message_as_it_is_then_however_often(ann: Caller) -> None:
    for mark, state in (("seen", "unread"), ("read", "read"), ("unread", "unread"), ("archive", "archived")):
        first = await ann.ok("POST", f"/users/ann/inbox/dec_1/{mark}")
        assert first["state"] == state
        assert await ann.ok("POST", f"/users/ann/inbox/dec_1/{mark}") == first
    assert await ann.ok("POST", "/users/ann/inbox/read") == {"unread": 0}


async def test_an_expired_message_is_not_shown(world: World, ann: Caller) -> None:
    world.message(ann, "ann", "dec_3", expires_at=world.shards.now + 1)
    page = await ann.ok("GET", "/users/ann/inbox")
    etag = (await ann("GET", "/users/ann/inbox")).headers["etag"]
    assert (page["data"][0]["id"], page["unread"]) == ("dec_3", 3)
    world.shards.now += 1
    answer = await ann("GET", "/users/ann/inbox", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json()["unread"]) == (200, 2)
    assert await ann.problem("POST", "/users/ann/inbox/dec_3/read") == (404, "message_not_found")


async def test_as_long_as_nothing_changed_polling_is_answered_304_and_the_shard_lists_nothing(
    world: World, ann: Caller
) -> None:
    first = await ann("GET", "/users/ann/inbox")
    etag = first.headers["etag"]
    again = await ann("GET", "/users/ann/inbox", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert world.shards.called("inbox")[-1][-1] == etag[1:19]
    for changed in (f'W/{etag}, "other"', f'"x", {etag}'):
        assert (await ann("GET", "/users/ann/inbox", headers={"If-None-Match": changed})).status_code == 304
    await ann.ok("POST", "/users/ann/inbox/dec_1/seen")
    changed_since = await ann("GET", "/users/ann/inbox", headers={"If-None-Match": etag})
    assert changed_since.status_code == 200
    assert changed_since.headers["etag"] != etag


async def test_an_etag_is_good_for_its_user_and_its_question_only(world: World, ann: Caller) -> None:
    world.shards.inboxes[f"{ann.id}/u:bob"] = list(world.shards.inboxes[f"{ann.id}/u:ann"])
    etag = (await ann("GET", "/users/ann/inbox")).headers["etag"]
    known = {"If-None-Match": etag}
    assert (await ann("GET", "/users/bob/inbox", headers=known)).status_code == 200
    assert (await ann("GET", "/users/ann/inbox", params={"limit": 1}, headers=known)).status_code == 200
    for wrong in ("*", "", '"x"', etag[:-2], "\x80" * 10):
        answer = await ann("GET", "/users/ann/inbox", headers={"If-None-Match": wrong.encode("latin-1")})
        assert answer.status_code == 200


async def test_an_action_that_is_not_there_is_refused_with_its_place(ann: Caller) -> None:
    clicked = await ann.ok("POST", "/users/ann/inbox/dec_1/click", {"action": 0})
    assert (clicked["state"], clicked["seen_at"] is not None) == ("read", True)
    refused = await ann("POST", "/users/ann/inbox/dec_2/click", {"action": 1})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/action")
    for body in ({}, {"action": 3}, {"action": -1}, {"action": "0"}, {"action": 0, "url": "https://evil.example"}):
        assert await ann.problem("POST", "/users/ann/inbox/dec_2/click", body) == (422, "invalid_request")
    assert (await ann.ok("GET", "/users/ann/inbox"))["unread"] == 1


async def test_who_is_not_there_has_no_inbox_and_no_inbox_has_what_is_not_in_it(ann: Caller) -> None:
    assert await ann.problem("GET", "/users/nobody/inbox") == (404, "user_not_found")
    assert await ann.problem("POST", "/users/nobody/inbox/read") == (404, "user_not_found")
    for id in ("dec_b", "dec_none", "x" * 1_000):
        assert await ann.problem("POST", f"/users/ann/inbox/{id}/read") == (404, "message_not_found")


async def test_a_merged_users_inbox_is_found_under_every_id(world: World, ann: Caller) -> None:
    world.shards.users[f"{ann.id}/u:annie"] = UserView("u:annie", moved_to="u:ann")
    page = await ann.ok("GET", "/users/annie/inbox")
    assert page["unread"] == 2
    assert (await ann.ok("POST", "/users/annie/inbox/dec_1/read"))["state"] == "read"


async def test_another_tenant_sees_nobody_of_ours(world: World, ann: Caller) -> None:
    globex = world.tenant("globex")
    for method, path, body in CALLS:
        assert await globex.problem(method, f"/users/ann/inbox{path}", body) == (404, "user_not_found")


async def test_a_key_that_may_only_read_marks_nothing(world: World, ann: Caller) -> None:
    reader = scoped(world, ann, Permission.USERS_READ)
    await reader.ok("GET", "/users/ann/inbox")
    for method, path, body in CALLS[1:]:
        assert await reader.problem(method, f"/users/ann/inbox{path}", body) == (403, "forbidden")


# -- users, with a token of their own ---------------------------------------------------------------------------------


async def test_a_user_reads_and_marks_their_own_inbox(world: World, ann: Caller) -> None:
    hers = await browser(world, ann, "ann")
    for method, path, body in CALLS:
        await hers.ok(method, f"/users/ann/inbox{path}", body)


async def test_to_a_user_everybody_elses_inbox_is_not_there(world: World, ann: Caller) -> None:
    hers = await browser(world, ann, "ann")
    world.shards.calls.clear()
    for method, path, body in CALLS:
        of_bob = await hers(method, f"/users/bob/inbox{path}", body)
        of_nobody = await hers(method, f"/users/nobody/inbox{path}", body)
        assert of_bob.status_code == of_nobody.status_code == 404
        assert of_bob.text.replace("bob", "nobody") == of_nobody.text
    assert await hers.problem("POST", "/users/ann/inbox/dec_b/read") == (404, "message_not_found")
    assert {call[4] for name in ("inbox", "mark_inbox") for call in world.shards.called(name)} == {"u:ann"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=st.text("ab.:/%_- \\é", min_size=1, max_size=6), theirs=st.text("ab.:/%_- \\é", min_size=1, max_size=6))
async def test_whatever_a_user_is_called_only_their_own_home_is_asked(
    world: World, acme: Caller, mine: str, theirs: str
) -> None:
    from urllib.parse import quote

    for user in (mine, theirs):
        world.user(acme, user)
    me = await browser(world, acme, mine)
    world.shards.calls.clear()
    for user in (mine, theirs):
        await me("GET", f"/users/{quote(user, safe='')}/inbox", params={"limit": 3})
        await me("POST", f"/users/{quote(user, safe='')}/inbox/read")
    asked = {call[4] for name in ("inbox", "mark_inbox") for call in world.shards.called(name)}
    assert asked <= {f"u:{mine}"}


async def test_the_token_of_an_id_reaches_no_anonymous_user_of_that_id(world: World, acme: Caller) -> None:
    world.shards.users[f"{acme.id}/a:dev"] = UserView("a:dev", standing=Standing())
    assert (await acme.ok("GET", "/users/dev/inbox"))["unread"] == 0
    await world.parts.overview.reload()
    secret = world.plane.signing_user_secret(acme.id)
    dev = Caller(world, acme.id, "/v1", new_user_token(acme.id, "dev", 2**38, secret))
    assert await dev.problem("GET", "/users/dev/inbox") == (404, "user_not_found")


async def test_no_made_up_or_old_or_foreign_token_opens_an_inbox(world: World, ann: Caller) -> None:
    globex = world.tenant("globex")
    await world.parts.overview.reload()
    ours, theirs = (world.plane.signing_user_secret(tenant.id) for tenant in (ann, globex))
    good = new_user_token(ann.id, "ann", 2**38, ours)
    for token in (
        "ut_x.y.1.z",
        new_user_token(ann.id, "ann", 2**38, theirs),
        new_user_token(ann.id, "ann", 1, ours),
        good[:-1] + ("B" if good[-1] == "A" else "A"),
    ):
        stranger = Caller(world, ann.id, "/v1", token)
        assert await stranger.problem("GET", "/users/ann/inbox") == (401, "invalid_key"), token
    of_globex = Caller(world, globex.id, "/v1", new_user_token(globex.id, "ann", 2**38, theirs))
    assert await of_globex.problem("GET", "/users/ann/inbox") == (404, "user_not_found")


async def test_a_users_token_opens_nothing_of_the_operators(world: World, ann: Caller) -> None:
    hers = await browser(world, ann, "ann")
    answer = await hers.http.get(f"/internal/tenants/{ann.id}/users/ann/inbox")
    assert answer.status_code == 401
    assert (await world.operator(ann).ok("GET", "/users/ann/inbox"))["unread"] == 2


async def test_an_inbox_is_named_by_user_id_as_well_whatever_the_id_contains(world: World, acme: Caller) -> None:
    for id in ("..", "a/b", "inbox"):
        world.user(acme, id)
        world.message(acme, id, f"dec_{len(id)}")
        answer = await acme("GET", "/users/inbox", params={"user_id": id, "limit": 1})
        assert (answer.status_code, answer.json()["unread"]) == (200, 1), answer.text
        tagged = {"If-None-Match": answer.headers["etag"]}
        assert (
            await acme("GET", "/users/inbox", params={"user_id": id, "limit": 1}, headers=tagged)
        ).status_code == 304
    assert (await acme.ok("GET", "/users/inbox"))["user_id"] == "inbox"
    assert (await acme("GET", "/users/inbox", params={"user_id": "nobody"})).status_code == 404
    assert (await acme("GET", "/users/inbox", params={"user_id": "a", "x": "1"})).status_code == 400
