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


async def test_a_template_may_keep_to_a_version_of_a_block_and_is_told_of_a_newer_one(acme: Caller) -> None:
    kept = {"channel": "sms", "locales": {"en": {"text": "Hi {% render 'foot@1' %}"}}}
    assert await codes(acme, "/templates/kept", kept) == ["missing_block"]
    await acme.ok("PUT", "/templates/foot", FOOT)
    await acme.ok("PUT", "/templates/kept", kept)

    async def behind() -> list[str]:
        found = (await acme.ok("POST", "/templates/kept/lint", {}))["findings"]
        return [one["message"] for one in found if one["code"] == "newer_block"]

    before = await acme.ok("POST", "/templates/kept/preview", {})
    assert await behind() == []
    await acme.ok("PUT", "/templates/foot", FOOT | {"locales": {"en": {"html": "<p>B</p>", "text": "Beta"}}})
    assert await acme.ok("POST", "/templates/kept/preview", {}) == before
    [message] = await behind()
    assert "version 1 of block foot; 2 is the newest" in message
    without = {"channel": "block", "locales": {"en": {"html": "<p>no text</p>"}}}
    await acme.ok("PUT", "/templates/foot", without)  # breaks nobody: who uses it keeps to another version
    await acme.ok("PUT", "/templates/kept", {"channel": "sms", "locales": {"en": {"text": "Hi {% render 'foot@2' %}"}}})
    assert (await acme.ok("POST", "/templates/kept/preview", {}))["parts"]["text"] == "Hi Beta"


async def test_what_a_kept_block_names_still_follows_and_may_not_be_broken(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/foot", FOOT)
    await acme.ok("PUT", "/templates/around", {"channel": "block", "locales": {"en": {"text": "{% render 'foot' %}!"}}})
    await acme.ok("PUT", "/templates/kept", {"channel": "sms", "locales": {"en": {"text": "{% render 'around@1' %}"}}})
    without = {"channel": "block", "locales": {"en": {"html": "<p>no text</p>"}}}
    assert await codes(acme, "/templates/foot", without) == ["breaks_template"]


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
