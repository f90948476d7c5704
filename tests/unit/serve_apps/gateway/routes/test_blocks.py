"""Blocks over HTTP: templates like others, that other templates use."""

from __future__ import annotations

from tests.support.gateway_world import Caller

FOOT = {"channel": "block", "locales": {"en": {"html": "<p>Acme</p>", "text": "Acme"}, "de": {"text": "Acme GmbH"}}}
MAIL = {
    "channel": "email",
    "locales": {"en": {"subject": "Hi", "html": "<p>Hi</p>{% render 'foot' %}", "text": "Hi {% render 'foot' %}"}},
}


async def codes(acme: Caller, path: str, body: object) -> list[str]:
    answer = await acme("PUT", path, body)
    assert answer.status_code == 422, answer.text
    return [error["code"] for error in answer.json()["errors"]]


async def test_a_block_is_published_before_it_is_used_and_changes_what_uses_it(acme: Caller) -> None:
    assert await codes(acme, "/templates/mail", MAIL) == ["missing_block", "missing_block"]
    made = await acme.ok("PUT", "/templates/foot", FOOT)
    assert made["channel"] == "block"
    await acme.ok("PUT", "/templates/mail", MAIL)
    before = await acme.ok("POST", "/templates/mail/preview", {})
    assert before["parts"]["text"].startswith("Hi Acme")
    await acme.ok("PUT", "/templates/foot", FOOT | {"locales": {"en": {"html": "<p>B</p>", "text": "Beta"}}})
    after = await acme.ok("POST", "/templates/mail/preview", {})
    assert after["parts"]["text"].startswith("Hi Beta")
    assert before["content_hash"] != after["content_hash"]
    assert (await acme.ok("GET", "/templates/mail"))["template"] == MAIL
    assert [one["name"] for one in (await acme.ok("GET", "/templates?filter[channel]=block"))["data"]] == ["foot"]


async def test_a_block_that_would_break_a_template_is_refused(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/foot", FOOT)
    await acme.ok("PUT", "/templates/mail", MAIL)
    without = {"channel": "block", "locales": {"en": {"html": "<p>Acme</p>"}}}
    assert await codes(acme, "/templates/foot", without) == ["breaks_template"]
    assert await codes(acme, "/templates/foot", FOOT | {"locales": {"en": {"text": "{% if user.a %}"}}}) == [
        "syntax_error"
    ]
    around = {"channel": "block", "locales": {"en": {"text": "{% render 'foot' %}"}}}
    await acme.ok("PUT", "/templates/around", around)
    circle = FOOT | {"locales": {"en": {"html": "x", "text": "{% render 'around' %}"}}}
    assert "block_cycle" in await codes(acme, "/templates/foot", circle)


async def test_drafts_lint_preview_and_translations_know_blocks(acme: Caller) -> None:
    draft = await acme.ok("PUT", "/templates/mail/draft", MAIL)
    assert draft["kind"] == "template"
    assert (await acme("POST", "/templates/mail/publish")).status_code == 422
    await acme.ok("PUT", "/templates/foot", FOOT)
    await acme.ok("POST", "/templates/mail/publish")
    found = await acme.ok(
        "POST",
        "/templates/x/lint",
        {"template": MAIL | {"locales": {"en": {"subject": "a", "text": "{% render 'no' %}"}}}},
    )
    assert [(one["code"], one["part"]) for one in found["findings"] if one["severity"] == "error"] == [
        ("missing_block", "text")
    ]
    shown = await acme.ok("POST", "/templates/foot/preview", {"locale": "de"})
    assert (shown["channel"], "Acme GmbH" in shown["parts"]["text"]) == ("block", True)
    sent = await acme.problem("POST", "/templates/foot/test", {"to": "a@example.com"})
    assert sent == (409, "is_a_block")
