"""The demo's messages: complete in five languages, and leading to the product that is simulated."""

from __future__ import annotations

import json
import re

import pytest

from cluster.demo.templates import SITE, demo_templates
from cluster.demo.templates.texts import LOCALES
from tests.unit.whisperer.content.requests import ReadableLinks, request
from training.simulator import segment
from whisperer.content.message import Rendered
from whisperer.content.render import render
from whisperer.content.template import parse_template

WRITTEN = [name for name, one in demo_templates().items() if one["channel"] != "webhook"]


def rendered(name: str, locale: str, links: ReadableLinks, traits: dict[str, str] | None = None) -> Rendered:
    definition = demo_templates()[name]
    asked = request(traits, channel=definition["channel"], locale=locale, offer=b'{"percent":20}')
    found = render(parse_template(definition), asked, links)
    assert isinstance(found, Rendered), found
    return found


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("locale", LOCALES)
def test_every_message_names_the_user_and_leads_to_the_product(name: str, locale: str) -> None:
    links = ReadableLinks()
    found = rendered(name, locale, links, {"name": "Ada Lovelace"})
    assert found.locale == locale
    assert any("Ada Lovelace" in text for text in found.parts.values())
    assert links.clicks
    assert all(url.startswith(SITE) for url in links.clicks)
    assert not re.search(r"[\[{]\w+[\]}]|\{\{|\{%", "".join(found.parts.values()))


@pytest.mark.parametrize("name", WRITTEN)
def test_no_two_languages_say_the_same(name: str) -> None:
    texts = {tuple(rendered(name, locale, ReadableLinks()).parts.values()) for locale in LOCALES}
    assert len(texts) == len(LOCALES)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("locale", LOCALES)
def test_a_user_without_a_name_is_written_to_as_well(name: str, locale: str) -> None:
    rendered(name, locale, ReadableLinks(), {"plan": "free"})


def test_arabic_mails_run_from_right_to_left() -> None:
    assert '<html lang="ar" dir="rtl">' in rendered("tips-email", "ar-AE", ReadableLinks()).parts["html"]
    assert '<html lang="de" dir="ltr">' in rendered("tips-email", "de-DE", ReadableLinks()).parts["html"]


def test_the_webhook_is_json_for_whoever_it_is_about() -> None:
    body = json.loads(rendered("webhook-crm", "en", ReadableLinks(), {"name": 'A"da'}).parts["body"])
    assert (body["user"]["name"], body["user"]["email"], body["offer"]) == ('A"da', None, {"percent": 20})


def test_the_product_is_the_simulated_one() -> None:
    assert SITE == segment.SITE
