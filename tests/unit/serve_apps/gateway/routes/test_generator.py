"""A tenant's generator over HTTP, the variants that it writes, and scores: what is stored, shown, and kept secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gateway_world import World
from tests.support.scripted_generator import ScriptedGenerators
from whisperer.content.generation.settings import HIDDEN

KEY = "sk-very-secret-key"  # pragma: allowlist secret
SET = {"base_url": "https://llm.example.com/v1", "model": "writer", "api_key": KEY}
HTML = (
    "<html><body><p>Hi {{ user.name }}, three <b>tips</b> to begin with.</p>"
    '<p><a href="https://app.acme.example/p?u={{ user.id }}">Open my projects</a></p>'
    '<p>Acme, 1 Street <a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>'
)
TIPS = {
    "channel": "email",
    "locales": {
        "en": {"subject": "Hello {{ user.name }}", "html": HTML},
        "de": {"subject": "Hallo", "html": HTML},
    },
}
NEW = {"subject": "Good to see you, [[value_1]]"}


def rewriting(document: dict[str, Any]) -> dict[str, str]:
    """Write the subject anew, and each other text with another word in front."""
    return {
        name: NEW["subject"] if name.startswith("subject") else f"Now: {text}"
        for name, text in document["texts"].items()
    }


def script(world: World, write: Any = rewriting, **settings: Any) -> ScriptedGenerators:
    made = ScriptedGenerators(write, **settings)
    world.parts.generators = made  # type: ignore[assignment]
    return made


async def test_the_key_is_taken_and_never_shown_or_logged_and_stays_when_it_is_left_out(world: World) -> None:
    acme = world.tenant("acme")
    owner = world.operator(acme)
    assert await owner.problem("GET", "/settings/generator") == (404, "generator_not_found")
    shown = await owner.ok("PUT", "/settings/generator", SET)
    assert shown["api_key"] == HIDDEN
    assert (await owner.ok("PUT", "/settings/generator", shown_again(shown) | {"model": "other"}))["model"] == "other"
    assert world.plane.generator(acme.id).api_key == KEY  # type: ignore[union-attr]
    found = await owner("GET", "/settings/generator")
    assert KEY not in found.text
    assert KEY not in json.dumps(await owner.ok("GET", "/audit"))
    assert "(secret)" in json.dumps(await owner.ok("GET", "/audit"))
    stale = await owner("PUT", "/settings/generator", SET, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    await owner.ok("DELETE", "/settings/generator")
    assert world.plane.generator(acme.id) is None


def shown_again(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name != "changed_at"}


async def test_a_key_does_not_follow_to_another_endpoint(world: World) -> None:
    owner = world.operator(world.tenant("acme"))
    await owner.ok("PUT", "/settings/generator", SET)
    elsewhere = {"base_url": "https://evil.example/v1", "model": "writer"}
    assert await owner.problem("PUT", "/settings/generator", elsewhere) == (422, "invalid_generator")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://x.example"},
        {"base_url": "https://user@x.example/v1"},
        {"base_url": "https://x.example/v1?key=1"},
        {"base_url": "https://[::1/v1"},
        {"model": ""},
        {"requests_per_minute": 0},
        {"tokens_per_day": -1},
        {"allowed_hosts": ["https://x.example"]},
        {"banned_claims": ["x"]},
        {"more": 1},
        {"api_key": "ключ"},
    ],
)
async def test_settings_that_cannot_be_are_refused_with_the_place(world: World, wrong: dict[str, Any]) -> None:
    owner = world.operator(world.tenant("acme"))
    answer = await owner("PUT", "/settings/generator", SET | wrong)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_generator"
    assert KEY not in answer.text


async def test_each_tenant_has_its_own_generator(world: World) -> None:
    acme, globex = world.operator(world.tenant("acme")), world.operator(world.tenant("globex"))
    await acme.ok("PUT", "/settings/generator", SET)
    assert await globex.problem("GET", "/settings/generator") == (404, "generator_not_found")


async def test_variants_become_drafts_that_a_person_publishes_and_nothing_goes_live(world: World) -> None:
    acme, made = world.tenant("acme"), script(world)
    await acme.ok("PUT", "/templates/tips", TIPS)
    found = await acme.ok("POST", "/templates/tips/variants", {"brief": "Warmer", "variants": 2})
    assert [one["draft"] for one in found["variants"]] == ["tips-variant-1", "tips-variant-2"]
    assert all(one["score"] > 3 for one in found["variants"])
    assert await acme.problem("GET", "/templates/tips-variant-1") == (404, "template_not_found")
    draft = (await acme.ok("GET", "/templates/tips-variant-1/draft"))["content"]
    assert draft["locales"]["de"] == TIPS["locales"]["de"]  # type: ignore[index]
    assert draft["locales"]["en"]["subject"] == "Good to see you, {{ user.name }}"
    html = draft["locales"]["en"]["html"]
    assert "<p>Now: Hi {{ user.name }}, three <b>tips</b> to begin with.</p>" in html
    assert 'href="https://app.acme.example/p?u={{ user.id }}">Open my projects</a>' in html
    assert 'Acme, 1 Street <a href="{{ unsubscribe_url }}">Unsubscribe</a>' in html
    # The model saw texts and placeholders, and neither Liquid nor markup.
    sent = json.dumps(made.endpoint.asked)
    assert "{{" not in sent
    assert "<b>" not in sent
    assert "app.acme.example" not in sent
    await acme.ok("POST", "/templates/tips-variant-1/publish")
    assert (await acme.ok("GET", "/templates/tips-variant-1"))["version"] == 1


async def test_text_is_streamed_to_who_watches(world: World) -> None:
    acme, _ = world.tenant("acme"), script(world)
    await acme.ok("PUT", "/templates/tips", TIPS)
    answer = await acme(
        "POST", "/templates/tips/variants", {"brief": "Warmer"}, headers={"Accept": "text/event-stream"}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        (block.split("\n")[0].removeprefix("event: "), json.loads(block.split("\ndata: ")[1]))
        for block in answer.text.strip().split("\n\n")
    ]
    assert [name for name, _ in events if name != "text"] == ["begun", "variant", "done"]
    text = "".join(document["text"] for name, document in events if name == "text")
    assert json.loads(text)["subject_1"] == NEW["subject"]
    assert events[-1][1]["variants"][0]["draft"] == "tips-variant-1"


@pytest.mark.parametrize(
    ("write", "ruling"),
    [
        (lambda _: None, "failed"),
        (lambda d: dict.fromkeys(d["texts"], "Hello to all of you out there"), "unknown_placeholder"),
        (lambda d: rewriting(d) | {"subject_1": "[[value_1]] <script>alert(1)</script>"}, "markup"),
        (lambda d: rewriting(d) | {"subject_1": "[[value_1]], 90% off for you"}, "invented_figure"),
        (lambda d: {"subject_1": "x"}, "not_the_schema"),
    ],
)
async def test_what_a_guardrail_objects_to_is_reported_and_stored_nowhere(
    world: World, write: Any, ruling: str
) -> None:
    acme, _ = world.tenant("acme"), script(world, write)
    await acme.ok("PUT", "/templates/tips", TIPS)
    [found] = (await acme.ok("POST", "/templates/tips/variants", {"brief": "Warmer"}))["variants"]
    assert (found["ruling"], found["draft"]) == (ruling, None)
    assert await acme.problem("GET", "/templates/tips-variant-1/draft") == (404, "draft_not_found")


async def test_who_cannot_have_variants_is_told_why(world: World) -> None:
    acme, made = world.tenant("acme"), script(world)
    brief = {"brief": "Warmer"}
    assert await acme.problem("POST", "/templates/none/variants", brief) == (404, "template_not_found")
    await acme.ok("PUT", "/templates/tips", TIPS)
    assert await acme.problem("POST", "/templates/tips/variants", brief | {"locale": "fr"}) == (
        400,
        "nothing_to_rewrite",
    )
    assert await acme.problem("POST", "/templates/tips/variants", {}) == (422, "invalid_request")
    assert await acme.problem("POST", "/templates/tips/variants", brief | {"variants": 6}) == (422, "invalid_request")
    made.without.add(acme.id)
    assert await acme.problem("POST", "/templates/tips/variants", brief) == (409, "no_generator")


async def test_a_template_is_scored_in_all_its_languages_and_so_is_one_that_is_sent_along(world: World) -> None:
    acme = world.tenant("acme")
    await acme.ok("PUT", "/templates/tips", TIPS)
    found = await acme.ok("POST", "/templates/tips/score", {})
    assert [one["locale"] for one in found["locales"]] == ["en", "de"]
    assert found["locales"][0]["score"] > 4 > 3 > found["locales"][1]["score"]  # the German one is in English
    bad = {"channel": "sms", "locales": {"en": {"text": "FREE MONEY!!! CLICK HERE NOW undefined"}}}
    found = await acme.ok("POST", "/templates/any/score", {"template": bad})
    assert found["version"] is None
    assert found["mean"] <= 1
    preview = await acme.ok("POST", "/templates/tips/preview", {"traits": {"name": "Ada"}})
    assert preview["quality"]["score"] > 4
    assert set(preview["quality"]["marks"]) >= {"language", "tone", "links"}
