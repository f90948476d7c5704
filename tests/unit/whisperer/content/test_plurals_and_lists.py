"""Plurals, times from now and lists are written as the reader's language writes them."""

from __future__ import annotations

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.content.requests import ReadableLinks, refused, request, template
from whisperer.content.message import Rendered
from whisperer.content.reader_texts import LOCALES
from whisperer.content.render import render
from whisperer.content.template import parse_template

FORMS = 'plural: zero: "zero", one: "one", two: "two", few: "few", many: "many", other: "other"'


def written(source: str, locale: str, **traits: object) -> str:
    definition = {"channel": "sms", "default_locale": locale, "locales": {locale: {"text": source}}}
    asked = request(dict(traits) or None, locale=locale, purpose="transactional")
    found = render(parse_template(definition), asked, ReadableLinks())
    assert isinstance(found, Rendered), found
    return found.parts["text"]


@given(st.integers(0, 10**9), st.sampled_from(LOCALES))
def test_a_number_takes_the_form_that_cldr_says(n: int, locale: str) -> None:
    assert written(f"{{{{ {n} | {FORMS} }}}}", locale) == Locale.parse(locale.replace("-", "_")).plural_form(n)


@pytest.mark.parametrize(
    ("n", "locale", "text"),
    [
        (1, "ru", "1 файл"),
        (2, "ru", "2 файла"),
        (5, "ru", "5 файлов"),
        (21, "ru", "21 файл"),
        (1234, "ru", "1 234 файла"),
    ],
)
def test_the_number_is_written_in_its_place(n: int, locale: str, text: str) -> None:
    source = '{{ user.n | plural: one: "# файл", few: "# файла", many: "# файлов", other: "# файла" }}'
    assert written(source, locale, n=n).replace("\xa0", " ") == text


def test_a_form_that_is_left_out_is_other() -> None:
    assert written('{{ 2 | plural: other: "# items" }}', "ar") == "2 items"


@pytest.mark.parametrize(
    "wrong",
    [
        "{{ 2 | plural }}",
        '{{ 2 | plural: one: "x" }}',
        '{{ "x" | plural: other: "x" }}',
        '{{ 2 | plural: some: "x", other: "y" }}',
    ],
)
def test_a_plural_that_cannot_be_written_fails_the_message(wrong: str) -> None:
    assert refused(template("sms", text=wrong)).reason == "template_failed"


@pytest.mark.parametrize(
    ("value", "locale", "text"),
    [
        ("2026-03-01T12:00:00Z", "en", "in 2 hours"),
        ("2026-03-01T08:00:00Z", "de", "vor 2 Stunden"),
        ("2026-03-04", "fr", "dans 3 jours"),
        ("2026-03-01", "en", "in 0 days"),
        ("2026-02-28", "ja", "1 日前"),
    ],
)
def test_a_time_is_told_from_now(value: str, locale: str, text: str) -> None:
    assert written(f'{{{{ "{value}" | relative }}}}', locale) == text


def test_a_list_is_written_as_a_sentence_does() -> None:
    teams = {"teams": ["A", "B", "C"]}
    assert written("{{ user.teams | list }}", "en", **teams) == "A, B, and C"
    assert written('{{ user.teams | list: "or" }}', "de", **teams) == "A, B oder C"
    assert written("{{ user.teams | list }}", "ja", **teams) == "A、B、C"
    assert refused(template("sms", text='{{ "x" | list: "nor" }}')).reason == "template_failed"
    assert refused(template("sms", text="{{ user.name | list }}")).reason == "template_failed"


def test_values_in_lists_and_plurals_are_escaped_in_html() -> None:
    source = '{{ user.teams | list }} {{ 1 | plural: one: user.form, other: "x" }}'
    definition = template("email", subject="x", html=f"<p>{source}</p>")
    asked = request({"teams": ["<b>", "&"], "form": "<i>"}, channel="email", purpose="transactional")
    found = render(parse_template(definition), asked, ReadableLinks())
    assert isinstance(found, Rendered)
    assert "<b>" not in found.parts["html"]
    assert "<i>" not in found.parts["html"]
