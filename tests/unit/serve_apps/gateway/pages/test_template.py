"""A template's page shows what a user would get, in the language chosen, and says why they would get nothing."""

from __future__ import annotations

from serve_apps.gateway.pages.documents import TemplatePage
from serve_apps.gateway.pages.site import Site, template_page
from serve_apps.gateway.pages.template import preview_document, render_template
from serve_apps.gateway.services.preview import NoPreview, Segments
from tests.unit.serve_apps.gateway.pages.loop_documents import template
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, Outline, check_policy, words
from whisperer.content.lint.finding import Finding

SITE = Site("demo", ("demo", "acme"))


def page(document: TemplatePage, locale: str = "", user_id: str = "") -> str:
    return render_template(document, locale=locale, user_id=user_id, site=SITE)


def test_the_parts_the_findings_and_the_languages_are_there() -> None:
    html = page(template(), locale="de")
    check_policy(html)
    read = words(html)
    assert "Hello Ada" in read
    assert "http://x is not over https" in read
    assert "en html 1:4" in read
    assert "Quality 5.00" in read or "of 5, as shown" in read
    assert "whisperer template generate tips-email --tenant demo" in read
    options = [attributes for tag, attributes in Outline(html).tags if tag == "option"]
    assert [one["value"] for one in options] == ["", "en", "de", "ar"]
    assert [one["value"] for one in options if "selected" in one] == ["de"]


def test_an_email_is_in_a_frame_of_its_own() -> None:
    (frame,) = [attributes for tag, attributes in Outline(page(template(), "ar", "ada & co")).tags if tag == "iframe"]
    assert frame["sandbox"] is None
    assert frame["src"] == "/templates/tips-email/html?tenant=demo&locale=ar&user_id=ada+%26+co"
    assert "https://a.example" not in preview_document(template())


def test_a_message_that_would_not_be_sent_says_why() -> None:
    refused = NoPreview(name="t", version=1, channel="sms", reason="variable_missing", detail="user.name is missing")
    read = words(page(template(channel="sms", preview=refused)))
    assert "It would not be sent" in read
    assert "user.name is missing" in read
    assert words(preview_document(template(preview=refused))) == ""


def test_an_sms_has_its_segments() -> None:
    document = template(channel="sms")
    document.preview.parts = {"text": "Привет"}  # type: ignore[union-attr]
    document.preview.sizes = {"text": 12}  # type: ignore[union-attr]
    document.preview.sms = Segments(encoding="UCS-2", segments=1, units=6, forcing=["П"])  # type: ignore[union-attr]
    assert "Segments 1 UCS-2, 6 units, because of П" in words(page(document))


def test_nothing_that_an_author_wrote_is_more_than_text() -> None:
    found = Finding(severity="error", code="x", message=HOSTILE, locale=HOSTILE, part=HOSTILE)
    document = template(name=HOSTILE, locales=[HOSTILE], findings=[found] * 500)
    document.preview.parts = {HOSTILE: HOSTILE}  # type: ignore[union-attr]
    document.preview.sizes = {HOSTILE: 1}  # type: ignore[union-attr]
    html = page(document, HOSTILE, HOSTILE)
    assert "<img src=x" not in html
    assert html.count('role="row"') < 100
    assert template_page("demo", "..") == "/templates/?tenant=demo&id=.."
