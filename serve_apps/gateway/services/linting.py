"""Looks over a template, published or not yet, and says what is wrong with it or could be better. Nothing is stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Any

import msgspec

from serve_apps.gateway.http.paging import MAX_VERSION
from serve_apps.gateway.services.parts import Parts
from whisperer.content.errors import TemplateError
from whisperer.content.lint.checks import lint_template, unusable
from whisperer.content.lint.finding import Finding
from whisperer.content.lint.kept_blocks import behind, kept_blocks
from whisperer.ids import TenantId


class LintBody(msgspec.Struct, forbid_unknown_fields=True):
    """``template``: what to look over in place of what is published; ``version``: the newest if none is named."""

    template: dict[str, Any] | None = None
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)] | None = None


class Linted(msgspec.Struct, kw_only=True):
    """What was found, errors first; ``version`` is None for a template that was sent along."""

    name: str
    version: int | None
    publishable: bool
    errors: int
    warnings: int
    findings: list[Finding]


async def lint(parts: Parts, tenant: TenantId, name: str, body: LintBody) -> Linted:
    """Return what the lint finds. Raises NotFoundError for an unknown template."""
    template, version = body.template, None
    if template is None:
        held = await asyncio.to_thread(parts.plane.get_template, tenant, name, body.version)
        template, version = held.body, held.version
    brand = (await asyncio.to_thread(parts.plane.tenant_settings, tenant)).brand
    known = await asyncio.to_thread(parts.plane.known_supplies, tenant)
    try:
        body = (await asyncio.to_thread(parts.plane.filled_template, tenant, template)).body
        findings = await asyncio.to_thread(lint_template, body, brand, known)
        if kept_blocks(template):
            findings += behind(template, await asyncio.to_thread(parts.plane.block_versions, tenant))
    except TemplateError as error:
        findings = unusable(template, error.errors)
    of = Counter(finding.severity for finding in findings)
    return Linted(
        name=name,
        version=version,
        publishable=not of["error"],
        errors=of["error"],
        warnings=of["warning"],
        findings=findings,
    )
