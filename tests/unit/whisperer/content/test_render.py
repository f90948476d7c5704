"""What a message says: variables, languages, numbers; and that nothing a user wrote is more than text."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from selectolax.lexbor import LexborHTMLParser

from tests.unit.whisperer.content.requests import (
    UNSUBSCRIBE,
    ReadableLinks,
    parts,
    refused,
    request,
    sent,
    sms,
    template,
)
from whisperer.content import formats
from whisperer.content.bounded import ANSWER_FOR_ABSENT
from whisperer.content.language import FILTERS
from whisperer.content.message import NotRendered, Rendered
from whisperer.content.render import render
from whisperer.content.template import parse_template

MAIL = template("email", subject="Hi {{ user.name }}", html="<p>Hi {{ user.name }}</p>")


# -- variables ----------------------------------------------------------------------------------------------------


def test_every_variable_is_what_the_page_says() -> None:
    text = "{{ user.id }} {{ user.name }} {{ user.company.name }} {{ user.tags[0] }} {{ features.events_7d }} "
    text += "{{ features.trend }} {{ event.n }} {{ offer.percent }} {{ campaign }} {{ arm }} {{ locale }} {{ dir }} {{ now }}"
    traits = {"name": "Ada", "id": "not this", "company": {"name": "Acorn"}, "tags": ["new"]}
    assert sms(text, traits, offer=b'{"percent":20}', event=b'{"n":1}') == (
        "ada Ada Acorn new 3 0.5 1 20 welcome arm-1 en ltr 2026-03-01T10:00:00Z"
    )
    assert sms("{{ unsubscribe_url }}") == UNSUBSCRIBE


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ user.nick }}", "user.nick"),
        ("{{ user.nick | upcase }}", "user.nick"),
        ("{{ user.nick | plus: 1 }}", "user.nick"),
        ("{{ 'a' | append: user.nick }}", "user.nick"),
        ("{{ user.company.name }}", "user.company"),
        ("{{ user.nothing }}", "user.nothing"),
        ("{{ features.gap_mean_days }}", "features.gap_mean_days"),
        ("{{ offer.percent }}", "offer.percent"),
        ("{{ event }}", "event"),
        ("{% for x in user.list %}{% endfor %}", "user.list"),
        ("{{ user.nick | json }}", "user.nick"),
    ],
)
def test_a_missing_variable_refuses_the_message_and_is_named(text: str, name: str) -> None:
    found = refused(template("sms", text=f"x{text}"), request({"name": "Ada", "nothing": None}))
    assert (found.send_key, found.reason) == ("snd_1", "variable_missing")
    assert found.detail == f"{name} is missing (text, en)"


def test_asking_for_a_missing_variable_is_no_offence() -> None:
    assert sms("{% if user.nick %}a{% else %}b{% endif %}{% unless user.nick %}c{% endunless %}") == "bc"
    assert sms("{% if user.nick == 'x' or user.tags contains 'y' %}a{% else %}b{% endif %}") == "b"
    assert sms("{{ user.nick | default: 'you' }}") == "you"


def test_where_the_template_says_blank_a_missing_variable_writes_nothing() -> None:
    assert sms("[{{ user.nick }}{{ user.a.b | upcase }}{{ offer.percent }}]", missing="blank") == "[]"
    body = parts(template("webhook", "blank", body='{"a": {{ user.nick | json }}, "b": "{{ user.nick }}"}'))["body"]
    assert json.loads(body) == {"a": None, "b": ""}


ARGUMENTS = {
    **dict.fromkeys(("append", "prepend", "remove", "remove_first", "split", "join", "map", "where"), '"x"'),
    **dict.fromkeys(("replace", "replace_first"), '"x", "y"'),
    **dict.fromkeys(
        ("slice", "truncate", "truncatewords", "at_least", "at_most", "divided_by", "minus", "modulo", "plus", "times"),
        "2",
    ),
    "concat": "user.list",
    "money": '"EUR"',
}


@pytest.mark.parametrize("name", sorted(set(FILTERS) - ANSWER_FOR_ABSENT))
def test_where_the_template_says_blank_every_filter_of_an_absent_value_is_blank(name: str) -> None:
    given_too = f": {ARGUMENTS[name]}" if name in ARGUMENTS else ""
    traits = {"list": [], "nothing": None}
    for absent in (
        "user.none",
        "user.none.more",
        "user.nothing",
        "event.due",
        "user.list | first",
        "features.gap_mean_days",
    ):
        assert sms(f"[{{{{ {absent} | {name}{given_too} }}}}]", traits, "blank") == "[]"
        again = f"[{{{{ {absent} | {name}{given_too} | upcase | date | default: 'soon' }}}}]"
        assert sms(again, traits, "blank") == "[soon]"
        if absent.startswith(("user.none", "event")):
            assert refused(template("sms", "refuse", text=f"{{{{ {absent} | {name}{given_too} }}}}")).reason == (
                "variable_missing"
            )


@pytest.mark.parametrize("name", sorted(formats.FILTERS))
def test_a_value_of_blanks_only_has_no_date_and_no_price(name: str) -> None:
    given_too = f": {ARGUMENTS[name]}" if name in ARGUMENTS else ""
    for empty in ("", "  ", "\u00a0"):
        assert sms(f"[{{{{ user.due | {name}{given_too} }}}}]", {"due": empty}, "blank") == "[]"
        asked = request({"due": empty})
        assert (
            refused(template("sms", text=f"{{{{ user.due | {name}{given_too} }}}}"), asked).reason == "template_failed"
        )
    asked = request({"due": "soon"})
    assert refused(template("sms", "blank", text=f"{{{{ user.due | {name}{given_too} }}}}"), asked).reason == (
        "template_failed"
    )


def test_what_cannot_be_said_without_an_absent_argument_is_blank() -> None:
    assert sms("[{{ 5 | money: user.currency }}]", missing="blank") == "[]"
    assert sms("[{{ 5 | number: user.decimals }}]", missing="blank") == "[]"
    assert sms("[{{ user.list | concat: user.more }}]", {"list": ["a"]}, "blank") == "[]"
    assert sms("[{{ 'a' | append: user.more }}]", missing="blank") == "[a]"
    assert refused(template("sms", "blank", text="{{ 5 | money: 'euros' }}")).reason == "template_failed"


@pytest.mark.parametrize("held", [None, "", "  "])
def test_defaults_stand_for_what_is_absent_or_blank(held: Any) -> None:
    definition = {**template("sms", text="Hi {{ user.name }}, {{ user.n }}"), "defaults": {"name": "there", "n": 3}}
    assert parts(definition, request({"name": held, "other": 1}))["text"] == "Hi there, 3"
    assert parts(definition, request({"name": "Ada", "n": 0}))["text"] == "Hi Ada, 0"


def test_a_trait_that_cannot_be_decoded_is_absent() -> None:
    broken = replace(request(), traits={"cut": b'{"a', "deep": b"[" * 100_000, "none": b""})
    text = "{{ user.cut | default: 'x' }}{{ user.deep | default: 'y' }}{{ user.none | default: 'z' }}"
    found = sent(template("sms", text=text), broken)
    assert isinstance(found, Rendered)
    assert found.parts["text"] == "xyz"


# -- languages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "found"),
    [
        ("zh-Hant-TW", "zh-Hant"),
        ("zh_hant_tw", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("de-x-formal", "de"),
        ("DE", "de"),
        ("fr-FR", "en"),
        ("", "en"),
        ("x" * 10_000, "en"),
        ("../../etc", "en"),
    ],
)
def test_the_nearest_language_is_found(locale: str, found: str) -> None:
    locales = {tag: {"text": "{{ locale }}"} for tag in ("en", "de", "zh", "zh-Hant")}
    answer = sent({"channel": "sms", "locales": locales}, request(locale=locale))
    assert isinstance(answer, Rendered)
    assert (answer.locale, answer.parts["text"]) == (found, found)


@pytest.mark.parametrize(
    ("tag", "direction"),
    [
        ("ar", "rtl"),
        ("he", "rtl"),
        ("fa-IR", "rtl"),
        ("ur", "rtl"),
        ("ja", "ltr"),
        ("az-Arab", "rtl"),
        ("ur-Latn", "ltr"),
    ],
)
def test_the_direction_is_that_of_the_language(tag: str, direction: str) -> None:
    definition = {"channel": "sms", "default_locale": tag, "locales": {tag: {"text": "{{ dir }}"}}}
    assert parts(definition, request(locale="en"))["text"] == direction


def test_numbers_follow_the_user_within_the_language_of_the_message_only() -> None:
    definition = {
        "channel": "sms",
        "locales": {tag: {"text": "{{ '2026-03-01' | date: 'short' }}"} for tag in ("en", "de")},
    }
    written = {tag: parts(definition, request(locale=tag))["text"] for tag in ("en-US", "en-GB", "de-AT", "fr-FR")}
    assert written == {"en-US": "3/1/26", "en-GB": "01/03/2026", "de-AT": "01.03.26", "fr-FR": "3/1/26"}


def test_a_time_is_shown_in_the_users_zone_and_a_day_is_that_day_everywhere() -> None:
    text = "{{ '2026-03-01T23:30:00Z' | date }} {{ '2026-03-01T23:30:00Z' | time }} {{ '2026-03-01' | date }}"
    assert sms(text, zone="Asia/Tokyo").replace("\u202f", " ") == "Mar 2, 2026 8:30 AM Mar 1, 2026"
    assert sms(text, zone="Nowhere/../etc").replace("\u202f", " ") == "Mar 1, 2026 11:30 PM Mar 1, 2026"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'soon' | date }}",
        "{{ '2026-02-31' | date }}",
        "{{ user.huge | date }}",
        "{{ true | date }}",
        "{{ '2026-03-01' | time }}",
        "{{ now | date: '%d' }}",
        "{{ 'abc' | money: 'EUR' }}",
        "{{ 1 | money }}",
        "{{ 1 | money: '<b>' }}",
        "{{ user.huge | number }}",
        "{{ 1 | number: 99 }}",
        "{{ user.name | percent }}",
        "{{ 1 | divided_by: 0 }}",
        "{{ 1 | upcase: 2 }}",
        "{{ 1 | date: 1, 2, 3, x: 4 }}",
        "{{ user | plus: 'x' | slice: 'y' }}",
    ],
)
def test_a_value_that_does_not_fit_its_filter_fails_the_message(text: str) -> None:
    asked = request({"name": "Ada", "huge": 1e300})
    assert refused(template("sms", text=text), asked).reason == "template_failed"


# -- only text ----------------------------------------------------------------------------------------------------

HEADER_BREAKERS = st.text(
    st.sampled_from("\r\n\x00\x0b\x0c\x1c\x85\u2028\u2029\t Bcc: a") | st.characters(codec="utf-8")
)


@given(HEADER_BREAKERS)
def test_no_trait_puts_a_line_break_into_a_subject_a_title_or_an_sms(name: str) -> None:
    asked = {"name": "x" + name}
    push = template("push", title="Hi {{ user.name }}\n!", body="{{ user.name }}")
    lines = [
        sent(MAIL, request(asked, channel="email")),
        sent(push, request(asked, channel="push")),
        sent(template("sms", text="Hi\r\n{{ user.name }}"), request(asked)),
    ]
    for found, part in zip(lines, ("subject", "title", "text"), strict=True):
        assert isinstance(found, Rendered)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", found.parts[part])
        assert len(found.parts[part].splitlines()) == 1


def test_an_injected_header_stays_on_the_line_it_was_on() -> None:
    found = parts(MAIL, request({"name": "Ada\r\nBcc: eve@example.com\r\n\r\nbody"}, channel="email"))
    assert found["subject"] == "Hi Ada Bcc: eve@example.com body"


@given(st.text(max_size=60))
def test_in_html_a_trait_is_text_and_nothing_else(name: str) -> None:
    html = '<p title="{{ user.name }}">{{ user.name }}</p>'
    found = sent(template("email", subject="Hi", html=html), request({"name": f"<b>{name}\"'&"}, channel="email"))
    assert isinstance(found, Rendered)
    paragraph = LexborHTMLParser(found.parts["html"]).css_first("p")
    assert [node.tag for node in paragraph.traverse(include_text=False)] == ["p"]
    assert set(paragraph.attributes) == {"title"}


def test_text_parts_are_not_escaped() -> None:
    assert sms("{{ user.name }}", {"name": "O'Neill & <Co>"}) == "O'Neill & <Co>"


@given(st.text(max_size=60) | st.sampled_from(['", "admin": true, "x": "', "\\", '\\"', "\u2028", "\x00"]))
def test_in_a_webhook_a_trait_cannot_leave_its_string(name: str) -> None:
    body = '{"quoted": "{{ user.name }}", "whole": {{ user.name | json }}, "up": "{{ user.name | append: \'"\' }}"}'
    found = parts(template("webhook", body=body), request({"name": name}, channel="webhook"))["body"]
    assert json.loads(found) == {"quoted": name, "whole": name, "up": name + '"'}


@pytest.mark.parametrize(
    "body", ["{{ user.name }}", '{"a": {{ user.name }} }', "[1,]", "{% if false %}x{% endif %}", "[" * 5_000]
)
def test_a_body_that_is_not_json_fails(body: str) -> None:
    assert refused(template("webhook", body=body), request(channel="webhook")).reason == "template_failed"


def test_a_body_over_the_limit_fails() -> None:
    asked = request({"name": "x" * 20_000}, channel="webhook")
    assert refused(template("webhook", body='"{{ user.name }}"'), asked).reason == "template_failed"


def test_a_name_of_ten_thousand_characters_fails_where_it_does_not_fit_and_is_kept_where_it_does() -> None:
    asked = request({"name": "x" * 10_000}, channel="email")
    assert refused(MAIL, asked).reason == "template_failed"
    assert "x" * 10_000 in parts(template("email", subject="Hi", text="{{ user.name }}"), asked)["text"]
    assert refused(template("sms", text="{{ user.name }}"), request({"name": "x" * 1_601})).reason == "template_failed"
    assert (
        refused(
            template("push", title="a", body="{{ user.name }}"), request({"name": "x" * 3_990}, channel="push")
        ).reason
        == "template_failed"
    )


# -- always an answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in (1..1000000000000) %}{% endfor %}x",
        "{% for i in (1..1000000000000) reversed %}{% endfor %}x",
        "{% for i in (1..1000000000) limit: 1 offset: 999999999 %}{% endfor %}x",
        "{% if (1..1000000000000) contains 'x' %}{% endif %}x",
        "{{ (1..1000000000) | join: ',' }}",
        "{% assign r = (1..1000000000) %}{{ r | size }}",
        "{{ 'a' | append: (1..1000000000) | size }}",
        "{% case (1..1000000000) %}{% when 'x' %}{% endcase %}x",
        "{% for i in (1..4000) %}{% for j in (1..4000) %}{% endfor %}{% endfor %}x",
        "{% for i in (1..900) %}{% for j in (1..9) %}{% endfor %}{% endfor %}x",
        "{% for i in (1..4000) %}{% endfor %}{% for i in (1..4000) %}{% endfor %}x",
        "{% assign x = 'aaaaaaaaaa' %}{% for i in (1..60) %}{% assign x = x | append: x %}{% endfor %}x",
        "{% assign x = 99 %}{% for i in (1..60) %}{% assign x = x | times: x %}{% endfor %}{{ x }}",
        "{% assign x = 'a,a' | split: ',' %}{% for i in (1..60) %}{% assign x = x | concat: x %}{% endfor %}x",
        "{{ user.long | replace: 'a', user.long }}",
        "{{ user.long | split: '' | join: user.long }}",
        "{{ user.numbers | sum | at_least: 3 }}{% assign s = user.numbers | sum %}{{ 'abc' | slice: s }}",
        "{% for i in (1..200) %}{{ user.long }}{% endfor %}",
        "{% for i in (1..500) %}{% assign a = user.long | upcase | downcase %}{% endfor %}x",
    ],
)
def test_what_would_never_end_or_never_fit_fails(text: str) -> None:
    """Without the budget each of these takes minutes or all memory: a hang here is the failure."""
    traits = {"long": "a" * 30_000, "numbers": ["1e999999999", "1"]}
    assert refused(template("sms", text=text), request(traits)).reason == "template_failed"


def test_html_nested_deeper_than_a_parser_can_bear_fails() -> None:
    deep = template("email", subject="Hi", html="<div>" * 10_001)
    assert refused(deep, request(channel="email")).reason == "template_failed"


def test_an_ordinary_loop_is_within_the_budget() -> None:
    items = [{"name": f"thing {n}", "price": n} for n in range(40)]
    html = "<ul>{% for item in user.items %}<li>{{ forloop.index }} {{ item.name }}: {{ item.price | money: 'EUR' }}</li>{% endfor %}</ul>"
    found = parts(template("email", subject="Hi", html=html), request({"items": items}, channel="email"))
    assert found["html"].count("<li>") == 40
    assert sms("{% for i in (1..3) %}{{ i }}{% endfor %}{% for i in (1..user.n) %}x{% endfor %}", {"n": 2}) == "123xx"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
EVERYTHING = parse_template(
    template(
        "email",
        "blank",
        subject="{{ user.a }}{{ user.a | money: 'EUR' }}",
        html="{{ user.a | sort | map: 'b' | join }}{% for x in user.a %}{{ x | date }}{{ x.b | json }}{% endfor %}"
        "{{ user.a | url_encode }}{{ user.b | times: user.a | round: user.a }}{{ user.a | truncate: user.b, user.a }}"
        "{% if user.a > user.b %}{% endif %}{{ user.a | slice: user.b, user.a }}{{ user[user.a] }}{{ user.a[user.b] }}",
    )
)
FILTERS_OF_TWO = (
    "money: 'EUR'|number: user.b|percent|time|datetime|sum|concat: user.b|where: user.b|first|default: user.b|"
    "divided_by: user.b|modulo: user.b|truncatewords: user.b|replace: user.b, user.a|compact|json|reverse"
)
PLAIN = [
    parse_template(template("sms", "blank", text=f"x{{{{ user.a | {one} }}}}")) for one in FILTERS_OF_TWO.split("|")
]


@given(a=json_values, b=json_values, locale=st.text(max_size=12), zone=st.text(max_size=12), name=st.text(max_size=5))
def test_rendering_never_raises(a: Any, b: Any, locale: str, zone: str, name: str) -> None:
    asked = request({"a": a, "b": b, name: a}, locale=locale, zone=zone)
    for one in PLAIN:
        assert isinstance(render(one, asked, ReadableLinks()), (Rendered, NotRendered))
    asked = request({"a": a, "b": b, name: a}, channel="email", locale=locale, zone=zone)
    assert isinstance(render(EVERYTHING, asked, ReadableLinks()), (Rendered, NotRendered))


@given(raw=st.binary(max_size=30), offer=st.binary(max_size=30), now=st.integers(-(2**63), 2**63 - 1))
def test_bytes_that_are_no_json_and_times_out_of_range_never_raise(raw: bytes, offer: bytes, now: int) -> None:
    asked = replace(request(), traits={"a": raw}, offer=offer, event=raw, now=now)
    definition = parse_template(template("sms", "blank", text="x{{ user.a }}{{ offer.b }}{{ event }}"))
    assert isinstance(render(definition, asked, ReadableLinks()), (Rendered, NotRendered))


def test_an_error_of_the_link_maker_is_an_answer() -> None:
    class Broken(ReadableLinks):
        def unsubscribe(self) -> str:
            raise RuntimeError("x" * 10_000)

    found = render(parse_template(template("sms", text="x")), request(), Broken())
    assert isinstance(found, NotRendered)
    assert (found.reason, len(found.detail) <= 300) == ("template_failed", True)


def test_a_template_of_another_channel_is_not_used() -> None:
    assert refused(MAIL, request(channel="sms")).reason == "template_failed"


def test_a_message_of_which_nothing_is_left_is_not_sent() -> None:
    assert refused(template("sms", "blank", text="{{ user.nick }}")).reason == "template_failed"
