"""MJML becomes HTML that mail programs show, with its Liquid where it was; nothing hostile holds or ends the process."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tests.support import npm
from tests.unit.whisperer.content.mjml.corpus import VALID, column, document
from tests.unit.whisperer.content.mjml.test_check import PACKAGES
from tests.unit.whisperer.content.requests import parts, request, template
from whisperer.content.errors import TemplateError
from whisperer.content.html_part import html_part
from whisperer.content.plain_text import text_of
from whisperer.content.template import parse_template

RENDER = """
const mjml2html = require('mjml'), questions = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(questions.map(source => mjml2html(source, {validationLevel: 'skip'}).html)))
"""


def mail(source: str, traits: dict[str, object] | None = None, locale: str = "en") -> str:
    definition = template("email", "blank", subject="Hi", html=source)
    definition["locales"][locale] = definition["locales"]["en"]
    asked = request(traits or {"name": "Ada"}, channel="email", locale=locale, purpose="transactional")
    return parts(definition, asked)["html"]


def test_liquid_works_in_texts_attributes_styles_and_around_elements() -> None:
    source = document(
        "{% if user.vip %}<mj-section><mj-column><mj-text>VIP</mj-text></mj-column></mj-section>{% endif %}"
        '<mj-section background-color="{{ user.colour }}"><mj-column>{% for item in user.items %}'
        '<mj-text css-class="low">{{ item }}, {{ user.none | default: "there" }}</mj-text>{% endfor %}'
        '<mj-button href="https://a.example/{{ user.name | downcase }}?a=1&amp;b=2">Go</mj-button></mj-column></mj-section>',
        '<mj-title>For "{{ user.name }}"</mj-title><mj-preview>Dear {{ user.name }}</mj-preview>'
        '<mj-style inline="inline">.low { font-weight: {{ user.weight }} }</mj-style>',
    )
    html = mail(source, {"name": "Ada", "colour": "#abcdef", "items": ["one", "two"], "weight": "700"})
    assert "VIP" not in html
    assert "{{" not in html
    assert "{%" not in html
    assert "#abcdef" in html
    assert "one, there" in html
    assert "two, there" in html
    assert html.count("font-weight: 700") == 2
    page = LexborHTMLParser(html)
    assert page.css_first("title").text() == 'For "Ada"'  # type: ignore[union-attr]
    assert page.css_first("div[aria-label]").attributes["aria-label"] == 'For "Ada"'  # type: ignore[union-attr]
    assert "VIP" in mail(source, {"vip": True, "items": []})


def test_a_value_of_a_user_stays_text_in_compiled_html() -> None:
    html = mail(
        column('<mj-image src="https://a.example/x.png" alt="{{ user.name }}" /><mj-text>{{ user.name }}</mj-text>'),
        {"name": '"><script>alert(1)</script>'},
    )
    assert "<script>" not in html
    assert LexborHTMLParser(html).css_first("img").attributes["alt"] == '"><script>alert(1)</script>'  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "inside",
    [
        "<p>open <br> a < b & c &nbsp; <img src=x alt=''>",
        "<!--[if mso]><table><tr><td><![endif]-->x<!--[if mso]></td></tr></table><![endif]-->",
        "<![if !mso]>x<![endif]>",
        "<![CDATA[ a < b ]]>",
        "<script>if (a < b) {}</script>",
        "😀 &lt;mj-text&gt; שלום",
        "<b>" * 500,
    ],
)
def test_what_a_component_holds_comes_out_byte_for_byte(inside: str) -> None:
    for name in ("mj-text", "mj-button", "mj-raw"):
        assert inside in html_part(column(f"<{name}>{inside}</{name}>"), "en").text


@given(st.text(max_size=40), st.text(alphabet="<>&\"'{}%/ab -!", max_size=40))
def test_any_content_survives_or_is_refused(one: str, other: str) -> None:
    source = column(f"<mj-text>{one}{other}</mj-text>")
    made = html_part(source, "en")
    assert made.flaws or not f"{one}{other}".strip() or f"{one}{other}" in made.text


def test_a_language_from_right_to_left_is_laid_out_that_way() -> None:
    source = column("<mj-text>שלום</mj-text><mj-table><tr><td>1</td></tr></mj-table>")
    html = html_part(source, "he").text
    assert html.startswith('<!doctype html><html lang="he" dir="rtl"')
    assert "direction:ltr" not in html
    assert "direction:rtl" in html
    assert "text-align:right" in html
    assert 'dir="ltr"' in html_part(source, "en").text
    assert "direction:rtl" not in html_part(source, "en").text


def test_what_an_author_says_about_direction_counts() -> None:
    source = '<mjml dir="ltr" lang="en"><mj-head><mj-attributes><mj-all align="center" direction="ltr" /></mj-attributes></mj-head>'
    source += "<mj-body><mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section></mj-body></mjml>"
    html = html_part(source, "ar").text
    assert '<html lang="en" dir="ltr"' in html
    assert "direction:rtl" not in html
    assert "text-align:center" in html


def test_plain_html_says_its_direction() -> None:
    assert html_part("<html><body>x", "ar").text == '<html dir="rtl"><body>x'
    assert html_part('<html dir="{{ dir }}"><body>x', "ar").text == '<html dir="{{ dir }}"><body>x'
    assert html_part("<p>x", "fa").text == '<div dir="rtl"><p>x</div>'
    assert html_part("<p>x", "de").text == "<p>x"


def test_the_text_part_has_no_preheader() -> None:
    source = document(
        "<mj-section><mj-column><mj-text>Read me</mj-text></mj-column></mj-section>", "<mj-preview>Hidden</mj-preview>"
    )
    definition = template("email", "blank", subject="Hi", html=source)
    found = parts(definition, request(channel="email", purpose="transactional"))
    assert "Hidden" in found["html"]
    assert found["text"] == "Read me"


def test_a_template_reports_mjml_by_line_and_column() -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(template("email", subject="x", html=column('<mj-text colour="red">x</mj-text>')))
    (problem,) = caught.value.errors
    assert problem["pointer"] == "/locales/en/html"
    assert problem["code"] == "mjml_unknown_attribute"
    assert re.match(r"line 1, column \d+: mj-text has no attribute 'colour'", problem["message"])


def test_a_bomb_is_refused_by_its_size() -> None:
    bomb = document("<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>" * 900)
    (flaw,) = html_part(bomb, "en").flaws
    assert flaw.code == "too_long"


def test_a_long_attribute_and_a_long_word_are_only_long() -> None:
    long = "x" * 10_000
    assert long in html_part(column(f'<mj-text><a title="{long}">x</a></mj-text>'), "en").text
    assert long in html_part(column(f'<mj-image alt="{long}" src="a" />'), "en").text


def test_a_reader_sees_what_npm_shows() -> None:
    folder = npm.installed(*PACKAGES)
    names = [name for name in VALID if name != "carousel"]  # its first picture is shown by a style sheet
    theirs = npm.answer(folder, RENDER, [VALID[name] for name in names])
    for name, html in zip(names, theirs, strict=True):
        assert text_of(html_part(VALID[name], "en").text).split() == text_of(html).split(), name
