"""Requests made from the OpenAPI document and then spoilt: whatever is asked, no answer is a 500."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_apps.gateway.message_links import endpoints as links
from serve_apps.gateway.message_links.outcomes import Outcomes
from tests.support.gateway_world import World
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from whisperer.delivery.dispatch import Dispatch
from whisperer.feedback.links import LinkSigner

CHANGING = ("post", "put", "delete")
NAUGHTY = [
    "", ".", "..", "a/b", "a\x00b", "\r\nSet-Cookie: a=b", "x" * 10_000, "\u202eé\U0001f600", "' OR 1=1 --", "{{ user }}",
    "{% for i in (1..99999999) %}{% endfor %}", "%s%n", "../../etc/passwd", "*", "no_send", "tn_", "-1", "null",
]  # fmt: skip
NUMBERS = [0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**300, -(10**30), 1.5, 1e308, 1e-320]

texts = st.sampled_from(NAUGHTY) | st.text(max_size=20)
scalars = (
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(texts, of, max_size=3), max_leaves=6
)
names = st.sampled_from(["hello", "welcome", "draft", "regulars", "u1", "dec_1", "snd_1", "email", "publish"]) | texts


class Play:
    """One gateway for all examples, with something behind every kind of name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runner = asyncio.Runner()
        links.install(world.own_app, LinkSigner(b"s" * 32), Outcomes(world.shards).record)
        self.acme = world.tenant("acme")
        self.operations = [
            (method, path, operation)
            for path, methods in world.own_app.openapi()["paths"].items()
            for method, operation in methods.items()
            if path.startswith("/v1/")
        ]
        self.runner.run(self._furnish())

    async def _furnish(self) -> None:
        acme, world = self.acme, self.world
        await acme.ok("PUT", "/templates/hello", SMS)
        await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
        await acme.ok("POST", "/campaigns", {"name": "draft", **CAMPAIGN})
        await acme.ok("PUT", "/segments/regulars", {"predicate": {"event": "Paid"}})
        world.user(acme, "u1")
        names = ("snd_1", "dec_1", acme.id, "u:u1", "welcome", "sms", "+49151234567")
        world.sink.accept([Dispatch(*names, {"text": "hello"}, {}, "en", "hash", 0, 0)], 1)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory, plane_url_of_module: str) -> Iterator[Play]:
    world = World(tmp_path_factory.mktemp("world"), plane_url_of_module)
    made = Play(world)
    yield made
    made.runner.close()
    world.close()


@st.composite
def spoilt(draw: st.DrawFn, example: Any) -> Any:
    """An example with some of its values replaced, removed or added."""
    value = copy.deepcopy(example)
    for _ in range(draw(st.integers(0, 3))):
        at = value
        while isinstance(at, dict | list) and at:
            key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or draw(st.booleans()):
                break
            at = at[key]
        if not isinstance(at, dict | list) or not at:
            continue
        if draw(st.booleans()):
            at[key] = draw(values)
        elif isinstance(at, dict) and draw(st.booleans()):
            at[draw(texts)] = draw(values)
        else:
            del at[key]
    return value


@st.composite
def requests(draw: st.DrawFn, operations: list[Any]) -> tuple[str, str, bytes, dict[str, str]]:
    method, path, operation = draw(st.sampled_from(operations))
    query = []
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(draw(names), safe=""))
        elif parameter["in"] == "query" and draw(st.booleans()):
            value = draw(names | st.sampled_from(NUMBERS).map(str))
            query.append(f"{parameter['name']}={quote(value, safe='')}")
    body = b""
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        made = draw(spoilt(example) | values)
        body = draw(
            st.just(json.dumps(made).encode()) | st.binary(max_size=20) | st.sampled_from([b"[" * 2_000, b"{}"])
        )
    headers = {}
    for name in ("If-Match", "Idempotency-Key"):
        if draw(st.integers(0, 4)) == 0:
            headers[name] = draw(
                st.sampled_from(['"a"', "*", 'W/"a"', "", ",", "x" * 300, "k1", "é".encode().decode("latin-1")])
            )
    return method, path.removeprefix("/v1") + ("?" + "&".join(query) if query else ""), body, headers


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_makes_us_fail(play: Play, data: st.DataObject) -> None:
    method, path, body, headers = data.draw(requests(play.operations))
    sent = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
    try:
        answer = play.runner.run(play.acme(method.upper(), path, body or None, headers=sent))
    except httpx.InvalidURL:
        return  # longer than a client sends
    assert answer.status_code != 500, answer.text
    if not answer.is_success:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] != "internal"
        assert len(answer.content) < 40_000


PLACES = [
    "/", "/sink", "/sink/{}", "/sink/{}/html", "/users/{}", "/decisions/{}", "/campaigns/{}", "/find", "/docs",
    "/static/{}", "/m/o/{}", "/m/c/{}", "/m/u/{}", "/internal/live", "/metrics", "/internal/tenants/{}/campaigns",
]  # fmt: skip
ASKED = ["tenant", "q", "id", "channel", "user_id", "campaign", "before", "limit", "cursor"]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_page_and_no_link_makes_us_fail(play: Play, data: st.DataObject) -> None:
    made = st.sampled_from(["hello", "welcome", "u1", "dec_1", "snd_1", "acme", "mark.svg", "1" * 200]) | texts
    path = data.draw(st.sampled_from(PLACES)).format(quote(data.draw(made), safe=""))
    asked = data.draw(st.dictionaries(st.sampled_from(ASKED), made | st.sampled_from(NUMBERS).map(str), max_size=4))
    method = data.draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]))
    language = {"Accept-Language": data.draw(texts).encode("latin-1", "replace"), "Accept": "text/html"}
    try:
        answer = play.runner.run(play.acme.http.request(method, path, params=asked, headers=language))
    except httpx.InvalidURL:
        return
    assert answer.status_code != 500, answer.text
    assert "\n" not in answer.headers.get("location", "")
    assert answer.headers.get("location", "/").startswith("/")
    assert not answer.headers.get("location", "/").startswith("//")
