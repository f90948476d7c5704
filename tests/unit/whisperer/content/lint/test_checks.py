"""Each check finds what it is for, where it is, and leaves what is right alone; what is certainly wrong cannot be published."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.demo.templates import demo_templates
from tests.unit.whisperer.content.mjml.corpus import column, document
from tests.unit.whisperer.content.requests import template
from whisperer.content.errors import TemplateError
from whisperer.content.lint import checks
from whisperer.content.lint.checks import CHECKS, MAX_FINDINGS, errors_of, lint_message, lint_template, refuse_errors
from whisperer.content.lint.finding import Finding
from whisperer.content.lint.words import spam_words
from whisperer.content.template import parse_template

FOOTER = '<p>Acme, 1 Example Street, Springfield <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'


def mail(html: str, **more: Any) -> dict[str, Any]:
    return {**template("email", "blank", subject="Hello", html=html), **more}


def found(html: str, code: str, **more: Any) -> list[Finding]:
    return [finding for finding in lint_template(mail(html + FOOTER, **more)) if finding.code == code]


def test_a_good_mail_has_no_errors_and_no_warnings() -> None:
    assert [finding for finding in lint_template(mail("<p>Hello</p>" + FOOTER)) if finding.severity != "info"] == []


@pytest.mark.parametrize("name", demo_templates())
def test_the_demos_templates_have_no_errors_and_no_warnings(name: str) -> None:
    findings = lint_template(demo_templates()[name])
    assert [finding for finding in findings if finding.severity != "info"] == []


@pytest.mark.parametrize(
    ("html", "code", "severity"),
    [
        ('<a href="javascript:alert(1)">x</a>', "script_link", "error"),
        ('<a href=" JaVaScRiPt:alert(1)">x</a>', "script_link", "error"),
        ('<a href="java&#10;script:alert(1)">x</a>', "script_link", "error"),
        ('<a href="data:text/html,x">x</a>', "script_link", "error"),
        ('<a href="/plans">x</a>', "broken_link", "error"),
        ('<a href="www.example.com">x</a>', "broken_link", "error"),
        ('<a href="htp://a.example">x</a>', "broken_link", "error"),
        ('<a href="https://">x</a>', "broken_link", "error"),
        ('<a href="https://a b.example/x">x</a>', "broken_link", "error"),
        ('<a href="https://[::1">x</a>', "broken_link", "error"),
        ('<a href="http://a.example">x</a>', "link_not_https", "warning"),
        ('<a href="">x</a>', "empty_link", "warning"),
        ('<a href="#">x</a>', "empty_link", "warning"),
        ("<a>x</a>", "empty_link", "warning"),
        ("<script>x</script>", "active_content", "warning"),
        ('<p onclick="x()">x</p>', "active_content", "warning"),
        ("<iframe></iframe>", "active_content", "warning"),
        ('<img src="https://a.example/a.png">', "image_without_alt", "warning"),
        ('<img alt="">', "image_without_src", "warning"),
        ('<img src="http://a.example/a.png" alt="">', "image_not_https", "warning"),
        ('<img src="data:image/png;base64,x" alt="">', "image_inside", "warning"),
        ('<p style="color:#aaa">Pale</p>', "low_contrast", "warning"),
        ('<td bgcolor="navy"><p style="color:#333">Dark</p></td>', "low_contrast", "warning"),
        ("<style>.a { color: #ccc }</style><p class=a>Pale</p>", "low_contrast", "warning"),
        ("<p>" + "x" * 103_000, "clipped", "warning"),
    ],
)
def test_what_is_wrong_is_found_with_its_place(html: str, code: str, severity: str) -> None:
    if len(html) > 100_000:
        findings = [one for one in lint_message("email", "en", {"subject": "x", "html": html}, {}) if one.code == code]
        assert [one.severity for one in findings] == [severity]
        return
    (finding,) = found("<p>first</p>\n  " + html, code)
    assert (finding.severity, finding.locale, finding.part) == (severity, "en", "html")
    assert finding.line == 2
    assert finding.column is not None
    assert finding.column >= 3


@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{ event.url }}">x</a>',
        '<a href="https://{{ user.shop }}.example/x">x</a>',
        '<a href="mailto:a@example.com">x</a><a href="tel:+4930">y</a><a href="myapp://open">z</a>',
        '<a name="top"></a><a href="#top">x</a>',
        "<!-- <a href='javascript:x'> --><!--[if mso]><img src=x><![endif]-->",
        '<img src="https://a.example/a.png" alt="">',
        '<p style="color:#767676">Grey enough</p>',
        '<p style="color:#777;font-size:24px">Large</p>',
        '<p style="color:{{ brand.primary }}">Not known</p>',
        '<div style="background:url(x.png)"><p style="color:#fff">On a picture</p></div>',
        '<div style="display:none;color:#fff">Hidden</div>',
        '<div style="background:#000"><p style="color:#fff">White on black</p></div>',
    ],
)
def test_what_is_right_is_left_alone(html: str) -> None:
    findings = lint_template(mail(html + FOOTER))
    assert [finding for finding in findings if finding.severity != "info"] == []


def test_a_finding_in_mjml_has_its_place_in_the_source() -> None:
    source = column('\n<mj-image src="https://a.example/a.png" />\n<mj-button href="/plans">Go</mj-button>')
    by_code = {finding.code: finding for finding in lint_template(mail(source))}
    assert by_code["image_without_alt"].line == 2
    assert (by_code["broken_link"].line, by_code["broken_link"].severity) == (3, "error")


def test_mjml_that_does_not_compile_is_reported_like_the_rest() -> None:
    findings = lint_template(mail(column('\n<mj-text colour="red">x</mj-text><mj-txt/>')))
    assert [(one.severity, one.code, one.line) for one in findings] == [
        ("error", "mjml_unknown_attribute", 2),
        ("error", "mjml_unknown_element", 2),
    ]


def test_whatever_makes_a_template_unusable_is_an_error() -> None:
    findings = lint_template({"channel": "sms", "locales": {"en": {"text": "{{ name }}"}, "xx1": {"text": "x"}}})
    assert {(one.severity, one.code, one.locale) for one in findings} == {
        ("error", "unknown_variable", "en"),
        ("error", "unknown_locale", None),
    }
    assert lint_template(None)[0].code == "invalid_type"


def test_a_preheader_is_missed_where_there_is_none() -> None:
    assert found("<p>Hello</p>", "no_preheader")
    assert not found('<div style="display:none">Tips inside</div><p>Hello</p>', "no_preheader")
    source = document(
        "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>", "<mj-preview>y</mj-preview>"
    )
    assert not [one for one in lint_template(mail(source)) if one.code == "no_preheader"]


def test_an_unsubscribe_link_and_a_postal_address_are_missed() -> None:
    codes = {finding.code for finding in lint_template(mail("<p>Hello</p>"))}
    assert codes >= {"unsubscribe_link_added", "postal_address_missing"}
    for html in ("<p>{{ brand.address }}</p>", "<address>Acme House</address>"):
        assert "postal_address_missing" not in {finding.code for finding in lint_template(mail(html))}
    assert "postal_address_missing" not in {
        finding.code for finding in lint_template(mail("<p>Acme House</p>"), {"address": "Acme House"})
    }


def test_words_that_filters_know_are_found_in_each_language() -> None:
    for locale, words in spam_words().items():
        definition = template("email", subject=f"… {words[0]} …", text="x")
        definition["locales"][locale] = definition["locales"].pop("en")
        codes = [one.code for one in lint_template({**definition, "default_locale": locale})]
        assert "spam_words" in codes, locale
    assert set(spam_words()) == {
        "en",
        "de",
        "fr",
        "es",
        "pt",
        "it",
        "nl",
        "pl",
        "ru",
        "tr",
        "ar",
        "he",
        "ja",
        "zh",
        "ko",
        "hi",
    }
    assert "shouting" in {
        one.code for one in lint_template(template("email", subject="READ THIS NOWW PLEASE", text="x"))
    }


def test_what_is_not_translated_is_found() -> None:
    words = "Three small things that save time"
    definition = {
        "channel": "email",
        "locales": {
            "en": {"subject": words, "html": "<p>Hello</p>"},
            "de": {"subject": words, "text": "Hallo"},
            "en-GB": {"subject": words, "html": "<p>Hello</p>"},
        },
    }
    codes = {(one.code, one.locale, one.part) for one in lint_template(definition) if one.locale != "en"}
    assert {("untranslated", "de", "subject"), ("part_missing", "de", "html")} <= codes
    assert not [one for one in codes if one[1] == "en-GB" and one[0] in ("untranslated", "part_missing")]


def test_segments_of_an_sms_are_shown_and_what_makes_them_dear() -> None:
    by_code = {one.code: one for one in lint_template(template("sms", text="It’s here {{ user.name }}"))}
    assert by_code["sms_ucs2"].severity == "warning"
    assert "U+2019" in by_code["sms_ucs2"].message
    assert "smart_encoding" in by_code["sms_ucs2"].message
    assert "1 segment of UCS-2" in by_code["sms_segments"].message
    assert lint_template(template("sms", text="x" * 500))[-1].severity == "warning"


def test_a_brand_has_no_such_value() -> None:
    (finding,) = found("<p>{{ brand.colour }} {{ brand.primary }}</p>", "unknown_variable")
    assert (finding.severity, finding.part) == ("error", "html")


def test_who_would_get_nothing_is_said_where_absence_refuses() -> None:
    refusing = template("sms", "refuse", text="{{ user.plan }} {{ user.name }}")
    assert "user.plan" in next(one.message for one in lint_template(refusing) if one.code == "no_default")
    assert not [one for one in lint_template({**refusing, "missing": "blank"}) if one.code == "no_default"]
    assert "user.name" not in lint_template({**refusing, "defaults": {"name": "there"}})[0].message


def test_what_is_certainly_wrong_is_refused_whole() -> None:
    body = mail('<a href="/a">x</a>\n<a href="javascript:b">y</a>{{ brand.colour }}')
    with pytest.raises(TemplateError) as caught:
        refuse_errors(body, parse_template(body))
    assert [(one["pointer"], one["code"]) for one in caught.value.errors] == [
        ("/locales/en/html", "unknown_variable"),
        ("/locales/en/html", "broken_link"),
        ("/locales/en/html", "script_link"),
    ]
    assert caught.value.errors[1]["message"].startswith("line 1, column 1: /a has no scheme")
    refuse_errors(mail('<img src="http://x">'), None)


def test_only_the_checks_that_are_said_to_refuse_do() -> None:
    bad = '<a href="/a">x</a><img><script>x</script><p style="color:#eee">x'
    for body in (mail(bad), template("sms", text="“x”" * 300), *demo_templates().values()):
        all_errors = [one for one in lint_template(body) if one.severity == "error"]
        assert all_errors == errors_of(body, parse_template(body))
    assert set(checks.REFUSING) <= set(CHECKS)


@pytest.mark.parametrize(
    "html",
    [
        "<a>" * 20_000,
        "<b>x" * 20_000,
        "<div>" * 15_000 + "x" + "</div>" * 3_000,
        "</p>" * 20_000,
        '<img src="x" ' + "a=b " * 20_000 + ">",
        '<p style="' + "color:#ccc;" * 9_000 + '">x',
        "<p style=color:#ccc>x</p>" * 4_000,
        "<!--" * 20_000,
        "<" * 90_000,
        '<a href="' + "https:" * 10_000 + '">x</a>',
        "\u202e" * 90_000,
        "<td background=x bgcolor=#fff>" * 3_000,
        "{{ user.x }}" * 1_300,
        "&#" * 40_000,
    ],
    ids=lambda html: html[:12],
)
def test_a_hostile_part_gives_at_most_so_many_findings(html: str) -> None:
    assert len(lint_template(mail(html))) <= MAX_FINDINGS
