"""Drafts, reviews, history, differences and rollback over HTTP, under the same names for every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.control_plane.audit.acting import acting_as
from cluster.control_plane.drafts import KINDS, Kind
from serve_apps.gateway.routes.drafts import KINDS_OF_ROUTES
from tests.support.approval import ADA, ask_for_approval
from tests.support.gateway_world import Caller, World
from whisperer.models.artifact import ArtifactFile, DataRange, Manifest

SMS = {"channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}}}
CAMPAIGN: dict[str, Any] = {
    "trigger": {"event": "Trial Started"},
    "goal": {"event": "Paid", "window": "1h"},
    "arms": [{"id": "hello", "channel": "sms", "template": "pinned"}],
}
CONTENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "campaigns": lambda n: CAMPAIGN | {"trigger": {"event": f"E{n}"}},
    "templates": lambda n: {"channel": "sms", "locales": {"en": {"text": f"Hello\nfor the {n}th time"}}},
    "segments": lambda n: {"predicate": {"event": f"E{n}"}},
}


@pytest.fixture
async def acme(world: World) -> Caller:
    """A key that Ada made: one that the operator made would stand for the operator, who approves here."""
    with acting_as(ADA):
        made = world.tenant("acme")
    await made.ok("PUT", "/templates/pinned", SMS)
    return made


@pytest.fixture(params=CONTENTS)
def plural(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_every_kind_has_routes() -> None:
    assert KINDS_OF_ROUTES.keys() == KINDS.keys() == set(Kind)


async def test_a_draft_is_written_read_published_and_then_gone(acme: Caller, world: World, plural: str) -> None:
    place, content = f"/{plural}/a", CONTENTS[plural]
    written = await acme("PUT", f"{place}/draft", content(1))
    assert written.status_code == 200
    body = written.json()
    assert (body["live"], body["review"]) == (None, None)
    assert written.headers["etag"] == body["etag"] == (await acme("GET", f"{place}/draft")).headers["etag"]
    again = await acme.ok("PUT", f"{place}/draft", body["content"])
    assert again["etag"] == body["etag"]
    assert world.shards.called("publish") == [] or plural == "templates"
    live = await acme.ok("POST", f"{place}/publish", headers={"If-Match": body["etag"]})
    assert (live["name"], live["version"]) == ("a", 1)
    assert await acme.problem("GET", f"{place}/draft") == (404, "draft_not_found")
    assert bool(world.shards.called("publish")) == (plural != "templates")
    [entry] = (await acme.ok("GET", f"{place}/history"))["data"]
    assert (entry["version"], entry["live"], entry["review"]) == (1, True, None)
    assert entry["by"].startswith("key key_")


async def test_of_two_who_write_on_the_same_draft_the_second_is_told(acme: Caller, plural: str) -> None:
    place, content = f"/{plural}/a/draft", CONTENTS[plural]
    tag = (await acme.ok("PUT", place, content(1), headers={"If-None-Match": "*"}))["etag"]
    stale = (412, "precondition_failed")
    assert await acme.problem("PUT", place, content(2), headers={"If-None-Match": "*"}) == stale
    await acme.ok("PUT", place, content(2), headers={"If-Match": tag})
    assert await acme.problem("PUT", place, content(3), headers={"If-Match": tag}) == stale
    assert await acme.problem("DELETE", place, headers={"If-Match": tag}) == stale
    assert await acme.problem("POST", f"/{plural}/a/publish", headers={"If-Match": tag}) == stale
    assert await acme.problem("POST", f"/{plural}/a/submit", headers={"If-Match": tag}) == stale
    assert (await acme.ok("DELETE", place))["deleted"] is True


async def test_without_an_approval_nothing_goes_live_and_with_one_it_does(
    acme: Caller, world: World, plural: str
) -> None:
    ask_for_approval(world.plane, acme.id)
    operator, place, content = world.operator(acme), f"/{plural}/a", CONTENTS[plural]
    refused = (409, "approval_required")
    for caller in (acme, operator):
        assert await caller.problem("PUT", place, content(1) | {"publish": True}) == refused
        assert await caller.problem("POST", f"/{plural}", {"name": "a", **content(1), "publish": True}) == refused
    await acme.ok("PUT", f"{place}/draft", content(1))
    for caller in (acme, operator):
        assert await caller.problem("POST", f"{place}/publish") == refused
    review = await acme.ok("POST", f"{place}/submit", {"note": "please"})
    assert (review["state"], review["note"]) == ("open", "please")
    assert await acme.problem("POST", f"{place}/submit") == (409, "review_pending")
    assert await acme.problem("POST", f"{place}/publish") == refused
    assert await acme.problem("POST", f"/reviews/{review['id']}/approve") == (403, "forbidden")  # no key has that
    approved = await operator.ok("POST", f"/reviews/{review['id']}/approve", {"reason": "fine"})
    assert (approved["state"], approved["decided_by"], approved["reason"]) == ("approved", "operator", "fine")
    await acme.ok("PUT", f"{place}/draft", content(2))  # what was approved is another content
    assert await acme.problem("POST", f"{place}/publish") == refused
    await acme.ok("PUT", f"{place}/draft", content(1))
    assert await acme.problem("POST", f"{place}/publish") == refused
    second = await acme.ok("POST", f"{place}/submit")
    await operator.ok("POST", f"/reviews/{second['id']}/approve")
    assert (await acme.ok("POST", f"{place}/publish"))["version"] == 1
    [entry] = (await acme.ok("GET", f"{place}/history"))["data"]
    assert entry["review"] == second["id"]
    states = {one["id"]: one["state"] for one in (await acme.ok("GET", "/reviews"))["data"]}
    assert states == {review["id"]: "outdated", second["id"]: "published"}


async def test_the_operator_does_not_approve_what_the_operator_submitted(acme: Caller, world: World) -> None:
    operator = world.operator(acme)
    await operator.ok("PUT", "/templates/a/draft", SMS)
    review = await operator.ok("POST", "/templates/a/submit")
    for action in ("approve", "reject"):
        assert await operator.problem("POST", f"/reviews/{review['id']}/{action}") == (403, "own_review")
    assert (await operator.ok("POST", f"/reviews/{review['id']}/withdraw"))["state"] == "withdrawn"
    assert await operator.problem("POST", f"/reviews/{review['id']}/withdraw") == (409, "review_closed")


async def test_an_older_version_comes_back_as_a_new_one(acme: Caller, plural: str) -> None:
    place, content = f"/{plural}/a", CONTENTS[plural]
    for n in (1, 2):
        await acme.ok("PUT", place, content(n) | {"publish": True})
    await acme.ok("PUT", f"{place}/draft", content(3))
    tag = (await acme("GET", place)).headers["etag"]
    back = await acme("POST", f"{place}/rollback", {"to": 1}, headers={"If-Match": tag})
    assert (back.status_code, back.json()["version"]) == (200, 3)
    assert await acme.problem("POST", f"{place}/rollback", {"to": 1}, headers={"If-Match": tag}) == (
        412,
        "precondition_failed",
    )
    assert await acme.problem("POST", f"{place}/rollback", {"to": 3}) == (409, "nothing_to_roll_back")
    assert await acme.problem("POST", f"{place}/rollback", {"to": 9}) == (404, "version_not_found")
    assert await acme.problem("POST", f"{place}/rollback", {"to": 0}) == (422, "invalid_request")
    assert (await acme.ok("GET", f"{place}/diff?from=1&to=3"))["changes"] == []
    assert (await acme.ok("GET", f"{place}/draft"))["live"] == 3
    newest = (await acme.ok("GET", f"{place}/history?limit=1"))["data"][0]
    assert newest["rolled_back_to"] == 1


async def test_a_rollback_needs_no_second_approval_but_one(acme: Caller, world: World, plural: str) -> None:
    place, content = f"/{plural}/a", CONTENTS[plural]
    operator = world.operator(acme)
    await acme.ok("PUT", place, content(1) | {"publish": True})
    ask_for_approval(world.plane, acme.id)
    for n in (2, 3):
        await acme.ok("PUT", f"{place}/draft", content(n))
        review = await acme.ok("POST", f"{place}/submit")
        await operator.ok("POST", f"/reviews/{review['id']}/approve")
        await acme.ok("POST", f"{place}/publish")
    assert await acme.problem("POST", f"{place}/rollback", {"to": 1}) == (409, "approval_required")
    assert (await acme.ok("POST", f"{place}/rollback", {"to": 2}))["version"] == 4


async def test_the_difference_says_where_and_line_by_line(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/a", CONTENTS["templates"](1))
    await acme.ok("PUT", "/templates/a", CONTENTS["templates"](2) | {"publish": False})
    found = await acme.ok("GET", "/templates/a/diff")
    assert (found["from"], found["to"], found["truncated"]) == (1, "draft", False)
    [change] = found["changes"]
    assert (change["pointer"], change["op"]) == ("/locales/en/text", "changed")
    assert change["lines"][1:] == [" Hello", "-for the 1th time", "+for the 2th time"]
    review = await acme.ok("POST", "/templates/a/submit")
    shown = await acme.ok("GET", f"/reviews/{review['id']}")
    assert shown["diff"]["changes"] == found["changes"]
    assert shown["content"] == CONTENTS["templates"](2)


async def test_lists_of_reviews_and_history_come_in_pages(acme: Caller) -> None:
    for n in range(3):
        await acme.ok("PUT", f"/templates/t{n}/draft", SMS)
        await acme.ok("POST", f"/templates/t{n}/submit")
        await acme.ok("PUT", "/templates/a", SMS)
    for path, key, expected in (
        ("/reviews?filter[state]=open&filter[kind]=template&limit=2", "name", ["t2", "t1", "t0"]),
        ("/templates/a/history?limit=2", "version", [3, 2, 1]),
    ):
        first = await acme.ok("GET", path)
        second = await acme.ok("GET", f"{path}&cursor={first['next_cursor']}")
        assert [one[key] for one in first["data"] + second["data"]] == expected
        assert second["next_cursor"] is None
        assert await acme.problem("GET", f"{path}&cursor=00ff") == (400, "invalid_cursor")
    assert (await acme.ok("GET", "/reviews?filter[name]=t1"))["data"][0]["name"] == "t1"
    assert (await acme.ok("GET", "/reviews?filter[state]=published"))["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", "/templates/a/draft", {"channel": "fax", "locales": {}}, (422, "invalid_template")),
        ("PUT", "/segments/a/draft", {"predicate": {"nonsense": 1}}, (422, "invalid_predicate")),
        ("PUT", "/segments/a/draft", {}, (422, "invalid_request")),
        ("PUT", "/campaigns/a/draft", {}, (422, "invalid_campaign")),
        ("PUT", "/campaigns/a/draft", {"name": "b", **CAMPAIGN}, (422, "invalid_request")),
        ("PUT", "/templates/-/draft", SMS, (400, "invalid_name")),
        ("PUT", "/policies/a/draft", {"version": 1}, (404, "policy_not_found")),
        ("PUT", "/policies/a/draft", {"version": 0}, (422, "invalid_request")),
        ("PUT", "/templates/a", SMS | {"publish": "no"}, (422, "invalid_request")),
        ("POST", "/templates/a/submit", {"note": "x" * 2_001}, (422, "invalid_request")),
        ("POST", "/templates/a/publish", None, (404, "template_not_found")),
        ("POST", "/templates/pinned/publish", None, (409, "nothing_to_publish")),
        ("GET", "/templates/a/diff", None, (404, "template_not_found")),
        ("GET", "/templates/pinned/diff", None, (404, "draft_not_found")),
        ("GET", "/templates/pinned/diff?from=1&to=2", None, (404, "version_not_found")),
        ("GET", "/templates/pinned/diff?from=yesterday", None, (422, "invalid_request")),
        ("GET", "/reviews?filter[state]=lost", None, (400, "invalid_filter")),
        ("GET", "/reviews/rv_1", None, (404, "review_not_found")),
        ("POST", "/reviews/rv_1/withdraw", None, (404, "review_not_found")),
        ("POST", "/reviews/rv_1/withdraw", {"why": 1}, (422, "invalid_request")),
    ],
)
async def test_a_refusal_has_its_status_and_code(
    acme: Caller, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    assert await acme.problem(method, path, body) == expected


async def test_another_tenants_drafts_and_reviews_are_not_there(acme: Caller, world: World, plural: str) -> None:
    globex = world.tenant("globex")
    await acme.ok("PUT", f"/{plural}/a/draft", CONTENTS[plural](1))
    review = await acme.ok("POST", f"/{plural}/a/submit")
    assert (await globex.ok("GET", "/reviews"))["data"] == []
    for method, path in (
        ("GET", f"/{plural}/a/draft"),
        ("DELETE", f"/{plural}/a/draft"),
        ("POST", f"/{plural}/a/submit"),
        ("POST", f"/{plural}/a/publish"),
        ("GET", f"/{plural}/a/history"),
        ("GET", f"/{plural}/a/diff"),
        ("GET", f"/reviews/{review['id']}"),
        ("POST", f"/reviews/{review['id']}/withdraw"),
    ):
        assert (await globex.problem(method, path))[0] == 404, path
    assert (await globex.problem("POST", f"/{plural}/a/rollback", {"to": 1}))[0] == 404


async def test_a_key_that_may_only_write_does_not_publish(world: World, acme: Caller, plural: str) -> None:
    key = world.plane.create_key(acme.id, "secret", scopes=[f"{plural}:write", f"{plural}:read"]).key
    writer = Caller(world, acme.id, "/v1", key)
    content = CONTENTS[plural](1)
    await writer.ok("PUT", f"/{plural}/a/draft", content)
    for method, path, body in (
        ("PUT", f"/{plural}/a", content | {"publish": True}),
        ("POST", f"/{plural}/a/publish", None),
        ("POST", f"/{plural}/a/rollback", {"to": 1}),
    ):
        assert await writer.problem(method, path, body) == (403, "forbidden")


async def test_one_approval_is_good_for_all_steps_of_a_version_and_none_after_its_rollback(
    acme: Caller, world: World
) -> None:
    manifest = Manifest(
        name="offers", version=1, kind="value", created_at=0, data=DataRange(0, 0, 0), code_version="1", features=[],
        feature_registry="1", parameters={}, metrics={}, files=[ArtifactFile("model.json", 1, "0" * 64)],
    )  # fmt: skip
    world.plane.register_policy(acme.id, manifest, by="Ada")
    ask_for_approval(world.plane, acme.id)
    operator = world.operator(acme)

    def promote() -> Any:
        return world.plane.promote_policy(acme.id, "offers", 1, by="Ada")

    with pytest.raises(Exception, match="approve"):
        promote()
    assert (await acme.ok("PUT", "/policies/offers/draft", {"version": 1}))["content"] == {"version": 1}
    review = await acme.ok("POST", "/policies/offers/submit")
    shown = await acme.ok("GET", f"/reviews/{review['id']}")
    assert shown["diff"]["changes"][0]["after"]["kind"] == "value"
    await operator.ok("POST", f"/reviews/{review['id']}/approve")
    assert promote().rollout.stage == "shadow"
    assert (await acme.ok("GET", "/policies/offers/history"))["data"][0]["review"] == review["id"]
    await acme.ok("POST", "/policies/offers/rollback", {})
    assert (await acme.ok("GET", f"/reviews/{review['id']}"))["state"] == "outdated"
    with pytest.raises(Exception, match="approve"):
        promote()
