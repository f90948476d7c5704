"""Score a template in each of its languages, as it would go out to somebody who has all that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from whisperer.content.links import PlainLinks
from whisperer.content.message import NotRendered, RenderRequest
from whisperer.content.quality.score import Score, score
from whisperer.content.render import render
from whisperer.content.template import Template
from whisperer.ids import DecisionId, SendKey, TenantId, known_key

SAMPLE, SAMPLE_NUMBER = "Ada", 20
"""What a trait, and a value of an offer or event, is taken to be where the caller names none."""
NOW = 1_767_225_600_000
"""Of the message: a score does not depend on when it is asked for."""


class LocaleScore(msgspec.Struct, kw_only=True):
    """Hold a language's score in [0, 5] with the marks of its criteria; or ``why`` there is no message in it."""

    locale: str
    score: float | None = None
    marks: dict[str, float] = {}
    why: str | None = None


class TemplateScores(msgspec.Struct, kw_only=True):
    """Hold a template's scores by language, and their ``mean``; a language without a message counts as 0."""

    mean: float
    locales: list[LocaleScore]


def scores_of(
    template: Template,
    *,
    traits: Mapping[str, Any] | None = None,
    offer: Mapping[str, Any] | None = None,
    brand: Mapping[str, str] | None = None,
    banned_claims: Iterable[str] = (),
) -> TemplateScores:
    """Return the scores of a template that parses, in the order of its languages."""
    claims = tuple(banned_claims)
    found = [_one(template, locale, traits or {}, offer, brand or {}, claims) for locale in template.locales]
    total = sum(one.score or 0.0 for one in found)
    return TemplateScores(mean=round(total / max(1, len(found)), 2), locales=found)


def _one(
    template: Template,
    locale: str,
    traits: Mapping[str, Any],
    offer: Mapping[str, Any] | None,
    brand: Mapping[str, str],
    banned_claims: tuple[str, ...],
) -> LocaleScore:
    used = _used(template, locale)
    filled = {**dict.fromkeys(used.get("user", ()), SAMPLE), **traits}
    request = RenderRequest(
        send_key=SendKey("snd_score"),
        decision_id=DecisionId("dec_score"),
        tenant=TenantId(""),
        user_key=known_key("score"),
        campaign="score",
        channel=template.channel,
        template="score",
        template_version=1,
        variant="score",
        offer=msgspec.json.encode({**dict.fromkeys(used.get("offer", ()), SAMPLE_NUMBER), **(offer or {})}),
        locale=locale,
        zone="",
        traits={name: msgspec.json.encode(value) for name, value in filled.items()},
        features={name: float(SAMPLE_NUMBER) for name in used.get("features", ())},
        event=msgspec.json.encode(dict.fromkeys(used.get("event", ()), SAMPLE_NUMBER)),
        address="",
        purpose="marketing",
        now=NOW,
    )
    message = render(template, request, PlainLinks("https://whisperer.example.com"), brand)
    if isinstance(message, NotRendered):
        return LocaleScore(locale=locale, why=f"{message.reason}: {message.detail}")
    made: Score = score(template.channel, locale, message.parts, banned_claims)
    return LocaleScore(locale=locale, score=made.score, marks=made.marks)


def _used(template: Template, locale: str) -> dict[str, set[str]]:
    """Return the values that a language's texts name, by variable."""
    found: dict[str, set[str]] = {}
    for compiled in template.locales[locale].values():
        for name, places in compiled.template.analyze(include_partials=False).globals.items():
            for variable in places:
                path = [str(step) for step in variable.segments]
                if len(path) > 1:
                    found.setdefault(name, set()).add(path[1])
    return found
