"""What a push message's parts may hold, what each platform gets, and what counts towards its size."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.content.requests import ReadableLinks, request
from whisperer.content.lint.checks import errors_of, lint_template
from whisperer.content.message import NotRendered, Rendered
from whisperer.content.render import render
from whisperer.content.template import parse_template
from whisperer.content.translations import exported, missing
from whisperer.vocabulary.inapp import Unfit
from whisperer.vocabulary.push import (
    MAX_BADGE,
    MAX_TTL_S,
    MOST_BYTES,
    RESERVED,
    Push,
    android_payload,
    apns_payload,
    form_problem,
    push_sizes,
    read_push,
    topic_of,
    web_payload,
)

WHOLE = {
    "title": "Hi {{ user.name }}",
    "body": "Three reports",
    "image": "https://app.example.com/a.png",
    "link": "https://app.example.com/plans?a=1!",
    "ttl_s": " 3600 ",
    "collapse_key": "weekly",
    "badge": "{{ user.unread | default: 2 }}",
}


def template(**locales: dict[str, str]) -> dict[str, object]:
    return {"channel": "push", "locales": {"en": WHOLE} | locales, "missing": "blank"}


def rendered(body: object, **more: object) -> Rendered | NotRendered:
    return render(parse_template(body), request({"name": "Ada"}, channel="push", **more), ReadableLinks())  # type: ignore[arg-type]


def test_a_deep_link_reports_its_click_and_opens_exactly_its_target() -> None:
    found = rendered(template())
    assert isinstance(found, Rendered)
    assert found.parts["link"].startswith("https://go.example/m/c/")
    assert found.parts["image"] == WHOLE["image"]
    assert read_push(found.parts) == Push(
        "Hi Ada", "Three reports", WHOLE["image"], found.parts["link"], 3600, "weekly", 2
    )
    into_the_app = rendered(template(en=WHOLE | {"link": "myapp://week/1"}))
    assert isinstance(into_the_app, Rendered)
    assert into_the_app.parts["link"] == "myapp://week/1"


def test_a_language_without_a_setting_uses_the_default_ones_and_translators_see_only_texts() -> None:
    body = template(de={"title": "Hallo", "body": "Drei Berichte", "badge": "{{ user.none }}"})
    found = rendered(body, locale="de")
    assert isinstance(found, Rendered)
    assert (found.parts["title"], found.parts["ttl_s"], "badge" in found.parts) == ("Hallo", "3600", False)
    assert set(exported("x", body, "fr")["texts"]) == {"title", "body"} == set(missing(body, "fr"))
    assert not [one for one in lint_template(body) if one.code in ("untranslated", "part_missing")]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("ttl_s", "1h"),
        ("ttl_s", str(MAX_TTL_S + 1)),
        ("badge", "-1"),
        ("badge", str(MAX_BADGE + 1)),
        ("badge", "٣"),
        ("image", "http://app.example.com/a.png"),
        ("image", "/a.png"),
        ("link", "javascript:alert(1)"),
        ("link", "/plans"),
        ("collapse_key", "é" * 33),
    ],
)
def test_a_setting_that_is_none_is_an_error_of_the_lint_and_sends_nothing(part: str, text: str) -> None:
    body = template(en=WHOLE | {part: text})
    [error] = errors_of(body)
    assert (error.code, error.part) == ("invalid_part", part)
    found = rendered(body)
    assert isinstance(found, NotRendered)
    assert part in found.detail
    of_a_trait = template(en=WHOLE | {part: "{{ user.given }}"})
    assert errors_of(of_a_trait) == []


@given(st.integers(2_800, 4_200), st.sampled_from(["x", "é", '"', "\n", "🎉"]))
def test_what_is_sent_is_within_every_platforms_limit_or_not_sent(n_chars: int, char: str) -> None:
    push = Push("Hi", char * n_chars, link="https://app.example.com/", badge=1)
    payloads = {
        "android": android_payload(push, RESERVED),
        "apns": apns_payload(push, RESERVED),
        "web": web_payload(push, RESERVED),
    }
    sizes = push_sizes(push)
    assert sizes == {name: len(msgspec.json.encode(payload)) for name, payload in payloads.items()}
    fits = all(size <= MOST_BYTES[name] for name, size in sizes.items())
    parts = {"title": "Hi", "body": push.body, "link": push.link, "badge": "1"}
    assert isinstance(read_push(parts), Unfit) != fits


def test_a_template_that_is_too_large_without_its_values_is_an_error_unless_a_tag_may_shorten_it() -> None:
    sure = template(en=WHOLE | {"body": "x" * 4_000 + "{{ user.name }}"})
    assert [one.code for one in errors_of(sure)] == ["push_too_large"]
    unsure = template(en=WHOLE | {"body": "{% if user.a %}" + "x" * 4_000 + "{% endif %}"})
    assert errors_of(unsure) == []
    assert ("warning", "push_too_large") in {(one.severity, one.code) for one in lint_template(unsure)}
    found = rendered(sure)
    assert isinstance(found, NotRendered)
    assert "at most 3,993" in found.detail


@given(st.text(min_size=1, max_size=64))
def test_a_topic_is_what_a_push_service_takes(key: str) -> None:
    if form_problem("key", "collapse_key", key) is None and key.isprintable():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", topic_of(key))
