"""Style sheets reach the elements that they match, and nothing else in the document changes."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from whisperer.content.html_part import html_part
from whisperer.content.inline_styles import MAX_ELEMENTS, with_styles
from whisperer.content.masking import masked, place

SHEET = "<style>p { color: teal } .low { margin: 0 } a:hover { color: red } @media print { p { color: black } }</style>"


def style_of(html: str, selector: str) -> str:
    node = LexborHTMLParser(html).css_first(selector)
    return re.sub(r"\s|;$", "", (node.attributes.get("style") or "") if node is not None else "")


def test_a_rule_is_written_into_what_it_matches() -> None:
    html = with_styles(f'{SHEET}<p>One<p class="low" style="font-size: 12px">Two<a href=x>Three</a>')
    assert html is not None
    assert style_of(html, "p") == "color:teal"
    assert set(style_of(html, "p.low").split(";")) == {"color:teal", "margin:0", "font-size:12px"}
    assert style_of(html, "a") == ""


def test_what_is_inline_already_wins_and_important_wins_over_it() -> None:
    html = with_styles("<style>p { color: teal; margin: 0 !important }</style><p style='color:red;margin:9px'>x")
    assert html is not None
    assert set(style_of(html, "p").split(";")) >= {"color:red"}
    assert "9px" not in style_of(html, "p")


def test_only_style_attributes_change() -> None:
    source = (
        f"{SHEET}<!--[if mso]><p class=x><![endif]--><![if !mso]><P  CLASS = low\n>a < b<br/>"
        "<![endif]><table><tr><td>{% if a %}</table><p>never closed <!-- <p> -->"
    )
    html = with_styles(masked(source).text)
    assert html is not None
    assert re.sub(r' style="[^"]*"', "", html) == masked(source).text


def test_sheets_for_others_and_those_to_be_ignored_are_left_alone() -> None:
    for sheet in (
        '<style media="print">p{color:red}</style>',
        '<style data-css-inline="ignore">p{color:red}</style>',
        "<!--[if mso]><style>p{color:red}</style><![endif]-->",
        '<link rel="stylesheet" href="file:///etc/hostname"><style>@import url(file:///etc/hostname);</style>',
    ):
        assert with_styles(f"{sheet}<p>x") == f"{sheet}<p>x"


def test_liquid_in_a_sheet_reaches_the_element() -> None:
    made = html_part("<style>p { color: {{ brand.colour | default: 'red' }} }</style><p>x", "en")
    assert style_of(made.text, "p") == "color:{{brand.colour|default:'red'}}"


def test_a_document_beyond_the_bounds_stays_as_it_is() -> None:
    for source in (
        "<style>p{color:red}</style>" + "<p>" * MAX_ELEMENTS,
        "<style>" + "".join(f"p{{a{n}:b}}" for n in range(5_000)) + "</style>" + "<p>" * 100,
        "<style>p:has(a){color:red}</style><p><a>",
    ):
        made = html_part(source, "en")
        assert made.text == source
        assert not made.is_inlined


@given(st.text(alphabet="{}% \nabz0wq'\"|", max_size=60))
def test_unmasking_gives_the_source(source: str) -> None:
    one = masked(source)
    assert one.unmasked(one.text) == source
    assert "{{" not in re.sub(r"\{\{(?!.*\}\})|\{%(?!.*%\})", "", one.text.replace("\n", " "))


def test_a_place_in_a_masked_text_is_that_of_the_source() -> None:
    source = "a {{ one\n two }} b\n<x>"
    one = masked(source)
    assert one.place(one.text.index("<x>")) == place(source, source.index("<x>")) == (3, 1)
    assert one.place(one.text.index(" b")) == (2, 8)
