"""Scores a template, published or not, in all its languages, by the rubric of docs/quality.md. Nothing is stored."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from serve_apps.gateway.http.paging import MAX_VERSION
from serve_apps.gateway.services.parts import Parts
from whisperer.content.quality.template_scores import LocaleScore, scores_of
from whisperer.content.template import parse_template
from whisperer.ids import TenantId


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """``template``: what to score in place of what is published; ``traits``, ``offer``: of the reader to imagine."""

    template: dict[str, Any] | None = None
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)] | None = None
    traits: dict[str, Any] = {}
    offer: dict[str, Any] | None = None


class Scored(msgspec.Struct, kw_only=True):
    """Scores in [0, 5]; ``version`` is None for a template that was sent along."""

    name: str
    version: int | None
    mean: float
    locales: list[LocaleScore]


async def score(parts: Parts, tenant: TenantId, name: str, body: ScoreBody) -> Scored:
    """Return the scores. Raises NotFoundError for an unknown template, TemplateError for one that does not parse."""
    template, version = body.template, None
    if template is None:
        held = await asyncio.to_thread(parts.plane.get_template, tenant, name, body.version)
        template, version = held.body, held.version
    settings = await asyncio.to_thread(parts.plane.tenant_settings, tenant)
    generator = await asyncio.to_thread(parts.plane.generator, tenant)
    found = await asyncio.to_thread(
        lambda: scores_of(
            parse_template(template),
            traits=body.traits,
            offer=body.offer,
            brand=settings.brand,
            banned_claims=() if generator is None else generator.banned_claims,
        )
    )
    return Scored(name=name, version=version, mean=found.mean, locales=found.locales)
