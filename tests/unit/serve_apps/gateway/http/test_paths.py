"""A path as it was written: any id reaches exactly the user that has it, by every route, and never another operation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cluster.operator_client import _segment
from serve_apps.gateway.http.paths import NOWHERE, IdConvertor, routed
from serve_apps.gateway.pages.site import user_page
from tests.support.gateway_world import OPERATOR, World
from whisperer.eligibility.standing import Standing
from whisperer.shard.views.user import UserView

ODD = ["acme/export", "acme/consent", "/", "//", "a//b", "..", ".", "../acme", "a/../acme", "%2F", "acme%2Fexport", "?",
       "acme?x=1", "acme#x", "%", "%25", "a%00", "é/é", "export", "consent", " ", "a b", "a;b", "a&b=c", "\\", "*", "\x7f"]  # fmt: skip

ids = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def raw(user_id: str) -> str:
    """Every byte encoded that may be: no client on the way makes anything of it."""
    return "".join(f"%{byte:02X}" for byte in user_id.encode())


class Play:
    """Every id names a user: which one was meant can be read from the answer."""

    def __init__(self, world: World) -> None:
        self.world, self.runner = world, asyncio.Runner()
        self.acme = world.tenant("acme")
        self.operator = world.operator(self.acme)
        asked = self.asked = []
        self.world.parts.overview.tenants[self.acme.id] = "acme"

        class Everybody(dict):
            def get(self, name: str, default: Any = None) -> Any:
                key = name.partition("/")[2]
                asked.append(key)
                return UserView(key, standing=Standing())

        world.shards.users = Everybody()

    def who(self, method: str, path: str, body: Any = None, *, prefix: str | None = None) -> list[str]:
        """The users asked about while a request is answered."""
        self.asked.clear()
        caller = self.acme if prefix is None else self.operator
        answer = self.runner.run(caller(method, path, body))
        assert answer.status_code == 200, answer.text
        return sorted({key.removeprefix("u:") for key in self.asked})


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory, plane_url_of_module: str) -> Iterator[Play]:
    world = World(tmp_path_factory.mktemp("world"), plane_url_of_module)
    made = Play(world)
    yield made
    made.runner.close()
    world.close()


CONSENT = {"channel": "email", "granted": True}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ids)
@example("export")
@example("acme/export")
@example("..")
def test_any_id_reaches_exactly_its_user_by_every_route(play: Play, user_id: str) -> None:
    written = {raw(user_id), quote(user_id, safe="")} - {".", ".."}
    for prefix in (None, "operator"):
        for path in written:
            assert play.who("GET", f"/users/{path}", prefix=prefix) == [user_id]
            assert play.who("GET", f"/users/{path}/export", prefix=prefix) == [user_id]
            assert play.who("POST", f"/users/{path}/consent", CONSENT, prefix=prefix) == [user_id]
            assert play.who("DELETE", f"/users/{path}", prefix=prefix) == [user_id]
        for named in (f"user_id={raw(user_id)}", f"user_id={quote(user_id, safe='')}"):
            assert play.who("GET", f"/users?{named}", prefix=prefix) == [user_id]
            assert play.who("GET", f"/users/export?{named}", prefix=prefix) == [user_id]
            assert play.who("POST", f"/users/consent?{named}", CONSENT, prefix=prefix) == [user_id]
            assert play.who("DELETE", f"/users?{named}", prefix=prefix) == [user_id]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(ids)
def test_any_id_reaches_exactly_its_user_by_the_command_line_and_the_pages(play: Play, user_id: str) -> None:
    assert play.who("GET", f"/users/{_segment(user_id)}", prefix="operator") == [user_id]
    play.asked.clear()
    answer = play.runner.run(
        play.acme.http.get(user_page("acme", user_id), headers={"Authorization": f"Bearer {OPERATOR}"})
    )
    assert answer.status_code == 200
    assert {key.removeprefix("u:") for key in play.asked} == {user_id}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ids)
def test_an_id_is_never_taken_for_an_operation(play: Play, user_id: str) -> None:
    """Without the operation written outside of the id there is no export, whatever the id ends in."""
    play.world.shards.calls.clear()
    play.who("GET", f"/users/{raw(user_id)}")
    assert not play.world.shards.called("flush")
    assert not play.world.shards.called("erase")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(ids, ids)
def test_a_user_is_named_once_or_not_at_all(play: Play, user_id: str, other: str) -> None:
    named = f"user_id={raw(other)}"
    for method, path, body in (
        ("GET", f"/users/{raw(user_id)}?{named}", None),
        ("DELETE", f"/users/{raw(user_id)}?{named}", None),
        ("GET", f"/users/{raw(user_id)}/export?{named}", None),
        ("POST", f"/users/{raw(user_id)}/consent?{named}", CONSENT),
        ("GET", f"/users?{named}&user_id=b", None),
        ("GET", f"/users?{named}&sort=score", None),
        ("GET", f"/users/export?{named}&as_of=2026-01-01", None),
    ):
        if path == f"/users/{raw('export')}?{named}" and method == "GET":
            continue  # that is how the export of the other is asked for
        if path == f"/users/{raw('consent')}?{named}" and method == "POST":
            continue
        play.asked.clear()
        answer = play.runner.run(play.acme(method, path, body))
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["code"] in ("unknown_parameter", "repeated_parameter")
        assert not play.asked


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/users?user_id=", 422), ("DELETE", "/users?user_id=", 422), ("DELETE", "/users", 422),
     ("GET", "/users/export?user_id=", 422), ("POST", "/users/consent?user_id=", 422), ("POST", "/users/consent", 422)],
)  # fmt: skip
def test_an_empty_id_names_nobody(play: Play, method: str, path: str, status: int) -> None:
    play.asked.clear()
    answer = play.runner.run(play.acme(method, path, CONSENT if method == "POST" else None))
    assert (answer.status_code, answer.json()["code"]) == (status, "invalid_request")
    assert not play.asked


@given(st.lists(ids, min_size=1, max_size=4))
def test_segments_stay_apart_and_come_back_whole(segments: list[str]) -> None:
    path = routed(("/" + "/".join(map(raw, segments))).encode())
    assert [IdConvertor().convert(segment) for segment in path.split("/")[1:]] == segments


def test_a_path_that_is_not_utf_8_names_nobody() -> None:
    assert routed(b"/v1/users/%FF") == NOWHERE
    assert routed(b"/v1/users/%ED%A0%80") == NOWHERE


@pytest.mark.parametrize("path", [b"/v1/users/%", b"/v1/users/a%4", b"/v1/users/%zz", b"/v1/users/%%41", b"/v1/%u0041"])
def test_a_percent_sign_that_encodes_nothing_names_nobody(play: Play, path: bytes) -> None:
    assert routed(path) == NOWHERE


@pytest.mark.parametrize(
    "path", ["/users/", "/users//", "/users/a/b", "/users/a//export", "/users//export", "/users/a/export/"]
)
def test_empty_segments_and_further_ones_are_no_part_of_an_id(play: Play, path: str) -> None:
    answer = play.runner.run(play.acme("GET", path))
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "FOO", "PATCH"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/campaigns", "GET, POST"),
        ("/campaigns/a", "GET, PUT, DELETE"),
        ("/campaigns/a/publish", "POST"),
        ("/campaigns/a/report", "GET"),
        ("/users/acme%2Fexport", "GET, DELETE"),
        ("/users/a/consent", "POST"),
        ("/decisions/a", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_answer_is_told_all_that_it_does(
    play: Play, method: str, path: str, allowed: str
) -> None:
    answer: httpx.Response = play.runner.run(play.acme(method, path))
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["code"] == "method_not_allowed"
