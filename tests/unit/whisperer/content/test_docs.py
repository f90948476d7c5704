"""The page about templates is true: its examples parse and render so, its tables are the product's."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.whisperer.content.requests import ReadableLinks, request, sms
from whisperer.content import errors, limits
from whisperer.content.blocks import filled_in
from whisperer.content.errors import TemplateError
from whisperer.content.language import FILTERS, TAGS, VARIABLES
from whisperer.content.message import Rendered
from whisperer.content.mjml.compile import MAX_COMPILED_CHARS
from whisperer.content.mjml.reader import MAX_ELEMENTS
from whisperer.content.render import render
from whisperer.content.template import parse_template
from whisperer.feedback.links import LIFETIME_MS, MAX_URL_CHARS
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.push import MOST_BYTES

PAGE = (Path(__file__).parents[4] / "docs" / "templates.md").read_text()
JSON = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
FILTER_ROWS = re.findall(r"^\| `[a-z]+(?:: \d)?` \| `(\{\{.*?\}\})` \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("example", JSON)
@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_every_example_parses_and_renders(example: str, locale: str) -> None:
    definition = json.loads(example)
    shown = filled_in(definition, {}).body  # a block is shown as a mail
    asked = request({"name": "Ada"}, channel=shown["channel"], locale=locale)
    brand = {"name": "Acme", "address": "1 Example Street"}
    assert isinstance(render(parse_template(shown), asked, ReadableLinks(), brand), Rendered)


def test_the_liquid_example_renders() -> None:
    (liquid,) = re.findall(r"```liquid\n(.*?)```", PAGE, re.DOTALL)
    assert sms(liquid, {"company": {"name": "Acorn"}}) == "Greetings to Acorn. Hi there"


@pytest.mark.parametrize(("example", "english", "german"), FILTER_ROWS)
def test_every_filter_writes_what_the_page_says(example: str, english: str, german: str) -> None:
    source = example.replace("\\|", "|")
    definition = {"channel": "sms", "locales": {"en": {"text": source}, "de": {"text": source}}}
    for locale, written in (("en-US", english), ("de-DE", german)):
        found = render(parse_template(definition), request(locale=locale), ReadableLinks())
        assert isinstance(found, Rendered)
        assert re.sub(r"[\xa0\u202f]", " ", found.parts["text"]) == written


def test_the_filters_with_examples_are_there() -> None:
    assert len(FILTER_ROWS) == 11


def test_every_tag_filter_variable_and_code_is_on_the_page() -> None:
    codes = re.findall(r"``(\w+)``", (errors.__doc__ or "").split("Codes:")[1])
    source = "".join(path.read_text() for path in Path(errors.__file__).parent.glob("*.py"))
    assert all(f"`{name}`" in PAGE for name in (*TAGS, *FILTERS, *VARIABLES, *codes))
    assert all(f'"{code}"' in source for code in codes)


def test_every_code_of_the_lint_is_on_the_page_with_its_severity() -> None:
    rooms = Path(errors.__file__).parent / "lint"
    source = "".join(path.read_text() for path in rooms.glob("*.py"))
    written = set(re.findall(r'finding\(\s*"(?:\w+)",\s*"(\w+)"', source)) | set(re.findall(r'code="(\w+)"', source))
    written |= set(re.findall(r'else "info", "(\w+)"', source))
    section = PAGE.split("## Lint")[1].split("## ")[0]
    rows = re.findall(r"^\| (`.*?) \| ([a-z, ]+) \|", section, re.MULTILINE)
    codes = {code for cell, _ in rows for code in re.findall(r"`(\w+)`", cell)}
    assert written <= codes
    assert all(f'"{code}"' in source for code in codes)
    assert {severity for _, cell in rows for severity in cell.split(", ")} == {"error", "warning", "info"}


def test_the_wrong_example_is_wrong_as_the_page_says() -> None:
    (wrong,) = re.findall(r"```json invalid\n(.*?)```", PAGE, re.DOTALL)
    with pytest.raises(TemplateError) as caught:
        parse_template(json.loads(wrong))
    rows = re.findall(r"\| `(/locales\S*)` \| `(\w+)` \| (.*?) \|", PAGE)
    assert rows == [(error["pointer"], error["code"], error["message"]) for error in caught.value.errors]


def test_the_limits_on_the_page_are_those_of_the_product() -> None:
    table = PAGE.split("## Limits")[1].split("##")[0]
    subject, html, text = CHANNELS["email"].parts
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+) \|", table)]
    assert Counter(numbers) == Counter(
        [
            limits.MAX_LOCALES,
            subject.max_template_chars,
            html.max_template_chars,
            text.max_template_chars,
            limits.MAX_TAG_CHARS,
            limits.MAX_MARKUP_CHARS,
            limits.MAX_ITERATIONS,
            limits.MAX_WORK,
            limits.MAX_VALUE_CHARS,
            html.max_bytes,
            limits.MAX_HTML_TAGS,
            MAX_ELEMENTS,
            MAX_COMPILED_CHARS,
            text.max_bytes,
            *dict.fromkeys(MOST_BYTES.values()),
            CHANNELS["webhook"].parts[0].max_bytes,
            CHANNELS["inapp"].parts[0].max_bytes,
            limits.MAX_TRACKED_LINKS,
            *(limit.most for channel in CHANNELS.values() for limit in channel.limits),
        ]
    )
    links = PAGE.split("## Links")[1].split("##")[0]
    assert f"{MAX_URL_CHARS:,} characters" in links
    assert f"{LIFETIME_MS['click'] // 86_400_000} days" in links
    assert f"{LIFETIME_MS['unsubscribe'] // (365 * 86_400_000)} years" in links
