"""Catalogues and coupon pools over HTTP: written, uploaded whole or not at all, previewed, forgotten, and each tenant's
own.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest

from cluster.control_plane.coupons import Ask
from serve_apps.content.rendering import Rendering
from serve_apps.gateway.http import uploads
from tests.support.gateway_world import Caller, World
from tests.unit.whisperer.content.requests import request
from whisperer.content.message import NotRendered, Rendered
from whisperer.feedback.links import LinkSigner
from whisperer.ids import TenantId, known_key

FIELDS = {"name": "string", "price": "number", "tags": "list"}
CSV = {"Content-Type": "text/csv"}
TEXT = (
    '{% catalogue p from "products" where price < 50 sort "price" %}'
    '{% for one in p %}{{ one.name }} {% endfor %}{% coupon "spring" %}'
)


@pytest.fixture
async def stocked(acme: Caller) -> Caller:
    await acme.ok("PUT", "/catalogues/products", {"fields": FIELDS})
    await acme.ok("PUT", "/coupon-pools/spring", {"description": "10 %"})
    return acme


async def test_items_are_uploaded_in_every_form_and_packed(stocked: Caller) -> None:
    table = b"id,name,price,tags\n1,Hat,20,new|wool\n2,Boots,80,\n"
    done = await stocked.ok("POST", "/catalogues/products/items", table, headers=CSV)
    assert done == {"n_added": 2, "n_changed": 0, "n_removed": 0, "n_items": 2}
    lines = gzip.compress(b'{"id": "1", "name": "Hat"}\n{"id": "3"}\n')
    done = await stocked.ok("POST", "/catalogues/products/items?replace=true", lines)
    assert done == {"n_added": 1, "n_changed": 1, "n_removed": 1, "n_items": 2}
    found = (await stocked.ok("GET", "/catalogues/products/items"))["data"]
    assert [(one["id"], one["values"]) for one in found] == [("1", {"name": "Hat"}), ("3", {})]


async def test_a_wrong_upload_names_its_lines_and_changes_nothing(stocked: Caller) -> None:
    await stocked.ok("POST", "/catalogues/products/items", [{"id": "1"}])
    answer = await stocked("POST", "/catalogues/products/items", b"id,price\n2,3\n4,x\n2,5\n", headers=CSV)
    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
        ("/3", "invalid_item"),
        ("/4", "repeated_id"),
    ]
    assert (await stocked.ok("GET", "/catalogues/products"))["n_items"] == 1


async def test_what_is_too_large_or_corrupt_is_refused_before_it_is_unpacked(
    stocked: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/catalogues/products/items", "/coupon-pools/spring/codes"):
        bomb = gzip.compress(b" " * (uploads.MAX_UPLOAD_BYTES + 1))
        assert len(bomb) < 100_000
        assert await stocked.problem("POST", path, bomb) == (413, "body_too_large")
        assert await stocked.problem("POST", path, bomb[:-9]) in ((413, "body_too_large"), (400, "malformed_gzip"))
        assert await stocked.problem("POST", path, gzip.compress(b"[]")[:-3]) == (400, "malformed_gzip")
        assert await stocked.problem("POST", path, b"x" * (uploads.MAX_SENT_BYTES + 1)) == (413, "body_too_large")


async def test_an_upload_of_a_megabyte_is_repeated_safely_under_its_key(stocked: Caller) -> None:
    body = [{"id": f"{n}", "name": "x" * 200} for n in range(5_000)]
    headers = {"Idempotency-Key": "k1"}
    first = await stocked("POST", "/catalogues/products/items", body, headers=headers)
    again = await stocked("POST", "/catalogues/products/items", body, headers=headers)
    assert first.json() == again.json() == {"n_added": 5_000, "n_changed": 0, "n_removed": 0, "n_items": 5_000}
    assert again.headers["Idempotent-Replay"] == "true"


async def test_writes_on_what_was_read_succeed_and_others_are_told(stocked: Caller) -> None:
    path = "/catalogues/products/items/a%20b"
    tag = (await stocked("PUT", path, {"values": {"name": "Hat"}})).headers["etag"]
    await stocked.ok("PUT", path, {"values": {"name": "Cap"}}, headers={"If-Match": tag})
    stale = {"If-Match": tag}
    assert await stocked.problem("PUT", path, {"values": {}}, headers=stale) == (412, "precondition_failed")
    assert await stocked.problem("DELETE", path, headers=stale) == (412, "precondition_failed")
    assert (await stocked.ok("GET", path))["values"] == {"name": "Cap"}
    assert await stocked.ok("DELETE", path) == {"name": "a b", "deleted": True}
    assert await stocked.problem("GET", path) == (404, "item_not_found")
    pool = (await stocked("GET", "/coupon-pools/spring")).headers["etag"]
    await stocked.ok("PUT", "/coupon-pools/spring", {"description": "20 %"}, headers={"If-Match": pool})
    assert await stocked.problem("DELETE", "/coupon-pools/spring", headers={"If-Match": pool}) == (
        412,
        "precondition_failed",
    )


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"code\nA-1\nA-2\nA-1\n", CSV),
        (b"A-1\nA-2\n\nA-1", {}),
        (["A-1", {"code": "A-2"}, "A-1"], {}),
        (b'"A-1"\n"A-2"\n"A-1"', {}),
    ],
)
async def test_codes_are_uploaded_in_every_form_and_repeated_ones_reported(
    stocked: Caller, body: Any, headers: dict[str, str]
) -> None:
    done = await stocked.ok("POST", "/coupon-pools/spring/codes", body, headers=headers)
    assert (done["n_added"], done["n_repeated"], done["n_left"]) == (2, 1, 2)
    assert [one["code"] for one in done["repeated"]] == ["A-1"]
    assert "A-1" not in json.dumps(await stocked.ok("GET", "/coupon-pools/spring")), "a code that is left is not shown"
    assert await stocked.problem("POST", "/coupon-pools/spring/codes", b"B-1\n<b>\n") == (422, "invalid_items")
    assert (await stocked.ok("GET", "/coupon-pools/spring"))["n_codes"] == 2


async def test_a_preview_is_the_message_but_for_the_code(world: World, stocked: Caller) -> None:
    await stocked.ok("POST", "/catalogues/products/items", [{"id": "1", "name": "Hat", "price": 20}, {"id": "2"}])
    await stocked.ok("POST", "/coupon-pools/spring/codes", ["SPRING-0001", "SPRING-0002"])
    await stocked.ok("PUT", "/templates/offer", {"channel": "sms", "locales": {"en": {"text": TEXT}}})
    shown = await stocked.ok("POST", "/templates/offer/preview", {})
    assert shown["parts"] == {"text": "Hat PREVIEWXXXX"}
    assert shown["placeholders"] == ["spring"]
    assert (await stocked.ok("GET", "/coupon-pools/spring"))["n_given"] == 0
    asked = request(template="offer", tenant=stocked.id, user_key="u:ada", campaign="preview", locale="")
    rendering = Rendering(world.plane, LinkSigner(b"s" * 32), "https://go.example")
    answers = await rendering.render(msgspec.msgpack.encode([asked]))
    (sent,) = msgspec.msgpack.decode(answers, type=list[Rendered | NotRendered])
    assert isinstance(sent, Rendered)
    assert sent.parts == {"text": shown["parts"]["text"].replace("PREVIEWXXXX", "SPRING-0001")}
    assert sent.content_hash == shown["content_hash"]
    (given,) = (await stocked.ok("GET", "/coupon-pools/spring/given?filter[user_id]=ada"))["data"]
    assert (given["code"], given["user_id"], given["campaign"]) == ("SPRING-0001", "ada", "preview")
    assert (await stocked.ok("GET", "/coupon-pools/spring/given?filter[user_id]=bob"))["data"] == []


async def test_the_lint_knows_what_the_tenant_has(stocked: Caller) -> None:
    body = {"template": {"channel": "sms", "locales": {"en": {"text": TEXT.replace("price", "size") + "x"}}}}
    await stocked.ok("PUT", "/templates/offer", {"channel": "sms", "locales": {"en": {"text": "x"}}})
    codes = [one["code"] for one in (await stocked.ok("POST", "/templates/offer/lint", body))["findings"]]
    assert codes[:2] == ["wrong_catalogue_field", "no_coupons_left"]


async def test_erasure_takes_the_user_from_their_codes_and_the_code_stays_used(world: World, stocked: Caller) -> None:
    await stocked.ok("POST", "/coupon-pools/spring/codes", ["A-1", "A-2"])
    world.user(stocked, "ada")
    asks = [Ask("spring", "welcome", known_key("ada"))]
    world.plane.give_codes(TenantId(stocked.id), asks, 1_790_000_000_000)
    await stocked.ok("DELETE", "/users/ada")
    (given,) = (await stocked.ok("GET", "/coupon-pools/spring/given"))["data"]
    assert (given["code"], given["user_id"]) == ("A-1", None)
    assert (await stocked.ok("GET", "/coupon-pools/spring"))["n_left"] == 1


async def test_another_tenants_are_not_there(world: World, stocked: Caller) -> None:
    other = world.tenant("globex")
    for method, path, body in (
        ("GET", "/catalogues/products", None),
        ("DELETE", "/catalogues/products", None),
        ("GET", "/catalogues/products/items", None),
        ("POST", "/catalogues/products/items", []),
        ("PUT", "/catalogues/products/items/1", {"values": {}}),
        ("GET", "/coupon-pools/spring", None),
        ("POST", "/coupon-pools/spring/codes", ["A"]),
        ("GET", "/coupon-pools/spring/given", None),
    ):
        assert (await other.problem(method, path, body))[0] == 404, path
    assert (await other.ok("GET", "/catalogues"))["data"] == (await other.ok("GET", "/coupon-pools"))["data"] == []


async def test_who_may_read_pools_may_not_see_who_got_what(world: World, stocked: Caller) -> None:
    scopes = ["coupons:read", "catalogues:read"]
    key = world.plane.create_key(stocked.id, "secret", scopes=scopes).key
    reader = Caller(world, stocked.id, "/v1", key)
    await reader.ok("GET", "/coupon-pools/spring")
    await reader.ok("GET", "/catalogues/products/items")
    for method, path, body in (
        ("GET", "/coupon-pools/spring/given", None),
        ("POST", "/coupon-pools/spring/codes", ["A"]),
        ("PUT", "/catalogues/products", {"fields": FIELDS}),
        ("DELETE", "/catalogues/products/items/1", None),
    ):
        assert await reader.problem(method, path, body) == (403, "forbidden")
