"""A template's page shows what a user would get, in the language chosen, and says why they would get nothing."""

from __future__ import annotations

from serve_apps.gateway.pages.documents import TemplatePage
from serve_apps.gateway.pages.site import Site, template_page
from serve_apps.gateway.pages.template import Asking, needed, preview_document, render_template, shown_as
from serve_apps.gateway.services.preview import NoPreview, Segments
from tests.unit.serve_apps.gateway.pages.loop_documents import template
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, Outline, check_policy, words
from whisperer.access.permissions import Permission
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


def test_who_sends_it_can_be_chosen_and_its_sender_is_shown() -> None:
    document = template(arms=["welcome/tips", f"welcome/{HOSTILE}"])
    document.preview.from_name, document.preview.reply_to = HOSTILE, "Help <help@x.co>"  # type: ignore[union-attr]
    html = render_template(document, locale="", user_id="", sent_by="welcome/tips", site=SITE, asking=Asking("token"))
    check_policy(html)
    assert "<img src=x" not in html
    assert "Help &lt;help@x.co&gt;" in html
    tags = Outline(html).tags
    options = [attributes for tag, attributes in tags if tag == "option" and "/" in str(attributes["value"])]
    assert [one["value"] for one in options] == ["welcome/tips", f"welcome/{HOSTILE}"]
    assert [one["value"] for one in options if "selected" in one] == ["welcome/tips"]
    kept = [attributes["value"] for tag, attributes in tags if tag == "input" and attributes.get("name") == "sent_by"]
    assert kept == ["welcome/tips"], "a test is sent as what is shown"
    (frame,) = [attributes for tag, attributes in tags if tag == "iframe"]
    assert str(frame["src"]).endswith("&sent_by=welcome%2Ftips")


def test_what_is_shown_for_a_user_or_a_campaign_takes_the_permission_to_see_it() -> None:
    assert needed(shown_as("de", "", "")) == []
    assert needed(shown_as("", "ada", "")) == [Permission.USERS_READ]
    assert needed(shown_as("", "ada", "welcome/tips")) == [Permission.USERS_READ, Permission.CAMPAIGNS_READ]
    asked = shown_as("", "", "welcome/tips/x")
    assert (asked.campaign, asked.arm, asked.locale, asked.user_id) == ("welcome", "tips/x", None, None)
