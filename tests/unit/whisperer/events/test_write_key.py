"""Where a write key may stand."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.events.parse import Parsed, parse_body
from whisperer.events.routes import Route
from whisperer.events.write_key import presented_key


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "body", "key"),
    [
        (basic("wk_1:"), None, "wk_1"),
        (basic("wk_1"), None, "wk_1"),
        (basic("wk_1:").replace("Basic", "basic"), None, "wk_1"),
        ("Bearer wk_1", None, "wk_1"),
        ("bearer  wk_1 ", None, "wk_1"),
        (None, "wk_2", "wk_2"),
        ("", "wk_2", "wk_2"),
        (basic("wk_1:"), "wk_2", "wk_1"),
        (basic(":"), "wk_2", "wk_2"),
        ("Basic !!!", "wk_2", "wk_2"),
        ("Basic /////w==", None, None),
        ("Digest x", None, None),
        ("Basic", None, None),
        ("Bearer", None, None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_the_key_comes_from_the_header_then_from_the_body(
    header: str | None, body: str | None, key: str | None
) -> None:
    assert presented_key(header, body) == key


@given(st.text(), st.none() | st.text())
def test_no_header_makes_it_raise(header: str, body: str | None) -> None:
    for authorization in (header, "Basic " + header, "Bearer " + header):
        assert presented_key(authorization, body) != ""


@pytest.mark.parametrize("route", [Route.TRACK, Route.BATCH])
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"batch":[],"writeKey":"wk_1"}', "wk_1"),
        ('{"batch":[],"writeKey":"wk_1","writeKey":"wk_2"}', "wk_2"),
        ('{"batch":[],"writeKey":5,"writeKey":"wk_2"}', "wk_2"),
        ('{"batch":[],"writeKey":null}', None),
        ('{"batch":[]}', None),
        ('{"batch":[{"writeKey":"wk_9"}]}', None),
    ],
)
def test_the_body_gives_its_own_key_and_the_last_one(route: Route, text: str, key: str | None) -> None:
    parsed = parse_body(text.encode(), route)
    assert isinstance(parsed, Parsed)
    assert parsed.write_key == key
