"""In-app messages as JSON: what is taken, what is refused with which words, and what nobody can smuggle in."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.vocabulary.inapp import (
    MAX_BODY_CHARS,
    MAX_BYTES,
    MAX_EXPIRY_S,
    MAX_TITLE_CHARS,
    InAppMessage,
    Unfit,
    action_url,
    encoded,
    read_message,
)

CARD: dict[str, Any] = {"kind": "card", "title": "Hi", "body": "Ada"}
ACTION = {"label": "See", "url": "https://app.example.com/"}
HARMFUL = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "javascript://%0aalert(1)", " javascript:alert(1)",
    "java\nscript:alert(1)", "java\tscript:alert(1)", "\x01javascript:alert(1)", "data:text/html,<script>", "vbscript:x",
    "blob:https://x", "file:///etc/passwd", "//evil.example", "/\\evil.example", "\\\\evil.example", "https:\\\\evil",
    "evil.example", "view-source:https://x", "about:blank", "", "https://a b", "java\u200bscript:x",
]  # fmt: skip


def problems(changes: dict[str, Any]) -> list[str]:
    found = read_message(json.dumps(CARD | changes))
    return found.problems if isinstance(found, Unfit) else []


def read(text: str | bytes) -> InAppMessage:
    found = read_message(text)
    assert isinstance(found, InAppMessage), found
    return found


def test_all_that_may_be_there_is_read() -> None:
    whole = CARD | {"image": "https://x.example/a.png", "actions": [ACTION] * 3, "expires_in_s": 60}
    found = read(json.dumps(whole))
    assert msgspec.to_builtins(found) == whole
    assert msgspec.to_builtins(read(json.dumps(CARD | {"image": None, "actions": None}))) == CARD
    assert read_message(encoded(found)) == found


def test_every_problem_is_said_at_once() -> None:
    found = problems(
        {"kind": "popup", "title": "", "body": 3, "image": "http://x/", "colour": "red", "expires_in_s": True}
    )
    assert [one.split()[0] for one in found] == ["'colour'", "kind", "title", "body", "image", "expires_in_s"]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x" * (MAX_TITLE_CHARS + 1)},
        {"body": "x" * (MAX_BODY_CHARS + 1)},
        {"title": "\u2028\x00 "},
        {"actions": [ACTION] * 4},
        {"actions": {}},
        {"actions": [ACTION | {"style": "x"}]},
        {"actions": ["See"]},
        {"actions": [{"label": "See"}]},
        {"actions": [{"label": "x" * 81, "url": "/"}]},
        {"actions": [{"label": "See", "url": "/" * 2_001}]},
        {"expires_in_s": 0},
        {"expires_in_s": 1.5},
        {"expires_in_s": MAX_EXPIRY_S + 1},
    ],
)
def test_what_is_beyond_a_bound_is_refused(changes: dict[str, Any]) -> None:
    assert len(problems(changes)) == 1


def test_a_message_has_a_size() -> None:
    assert f"at most {MAX_BYTES:,}" in problems({"body": "é" * MAX_BODY_CHARS, "title": "é" * 100})[0]


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", "{", '{"kind": NaN}', "[" * 5_000, '{"title": "\\ud800"}', b"\xff"]
)
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    assert isinstance(read_message(text), Unfit)


@pytest.mark.parametrize("url", HARMFUL)
def test_no_address_runs_a_script_or_hides_where_it_leads(url: str) -> None:
    assert problems({"actions": [{"label": "See", "url": url}]})
    assert problems({"image": url})


@pytest.mark.parametrize(
    "url", ["https://x.example/a?b#c", "http://x.example", "/team", "myapp://team/1", "mailto:a@b.example"]
)
def test_the_usual_addresses_are_taken(url: str) -> None:
    message = encoded(read(json.dumps(CARD | {"actions": [{"label": "See", "url": url}]})))
    assert action_url(message, 0) == url
    assert action_url(message, 1) is None
    assert action_url(message, -1) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*CARD, "actions", "url", "label"]), inner),
    max_leaves=15,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*CARD, "image", "actions", "expires_in_s", "x"]), JSON))
def test_whatever_is_written_it_is_read_within_the_bound_or_refused(found: dict[str, Any]) -> None:
    message = read_message(json.dumps(found))
    assert isinstance(message, Unfit) or len(encoded(message)) <= MAX_BYTES


@given(st.text(min_size=1, max_size=50))
def test_no_name_brings_a_control_character_in_or_stops_a_message(name: str) -> None:
    text = f"Hi {name}"
    message = read(msgspec.json.encode(InAppMessage("card", text, text)))
    for shown, allowed in ((message.title, ""), (message.body, "\n")):
        assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in shown if char not in allowed)
    assert read_message(encoded(message)) == message
