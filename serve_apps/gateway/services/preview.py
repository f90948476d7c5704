"""Renders a template to be looked at: nothing is sent, and its links record nothing.

It is rendered for a user as known now (`user_id`), or for made-up traits; both may be given, and stated traits then
override the user's own. What cannot be rendered is reported in the answer, not as an error: it is what the author wants
to know.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Annotated, Any

import msgspec

from serve_apps.gateway.http.paging import MAX_VERSION
from serve_apps.gateway.services.parts import Parts
from whisperer.content.links import PlainLinks
from whisperer.content.lint.checks import lint_message
from whisperer.content.lint.finding import Finding
from whisperer.content.message import NotRendered, RenderRequest
from whisperer.content.quality.score import Score, score
from whisperer.content.render import render
from whisperer.content.sms_segments import sms_size
from whisperer.content.template import parse_template
from whisperer.eligibility.rules import MARKETING
from whisperer.ids import DecisionId, SendKey, TenantId, known_key

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class PreviewBody(msgspec.Struct, forbid_unknown_fields=True):
    """``event``: properties of the event that would have triggered it. ``version``: the newest if none is named."""

    locale: _Text | None = None
    zone: _Text | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    traits: dict[str, Any] = {}
    offer: dict[str, Any] | None = None
    event: dict[str, Any] = {}
    arm: _Text = "preview"
    campaign: _Text = "preview"
    purpose: _Text = MARKETING
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)] | None = None


class Segments(msgspec.Struct, kw_only=True):
    """What an SMS is billed as; ``forcing``: the characters that make it UCS-2."""

    encoding: str
    segments: int
    units: int
    forcing: list[str]


class Preview(msgspec.Struct, kw_only=True):
    """The parts and headers of a message.

    ``sizes``: bytes by part; ``sms``: of an SMS alone; ``findings``: what the lint finds in the message as it is;
    ``quality``: its score by the rubric of docs/quality.md.
    """

    name: str
    version: int
    channel: str
    rendered: bool = True
    locale: str
    parts: dict[str, str]
    headers: dict[str, str]
    content_hash: str
    sizes: dict[str, int]
    sms: Segments | None
    findings: list[Finding]
    quality: Score


class NoPreview(msgspec.Struct, kw_only=True):
    """Why there is no message."""

    name: str
    version: int
    channel: str
    rendered: bool = False
    reason: str
    detail: str


async def preview(parts: Parts, tenant: TenantId, name: str, body: PreviewBody) -> Preview | NoPreview:
    """Return the parts and headers of the message. Raises NotFoundError for an unknown template or user."""
    template = await asyncio.to_thread(parts.plane.get_template, tenant, name, body.version)
    traits: dict[str, bytes] = {}
    features: dict[str, float] = {}
    key, locale, zone = known_key("preview"), "", ""
    if body.user_id is not None:
        view = await parts.users.find(tenant, body.user_id)
        key, locale, zone = view.key, view.locale or "", view.time_zone or ""
        traits = {trait: bytes(value) for trait, value in view.traits.items()}
        features = {feature: math.nan if value is None else float(value) for feature, value in view.features.items()}
    traits |= {trait: msgspec.json.encode(value) for trait, value in body.traits.items()}
    request = RenderRequest(
        send_key=SendKey("snd_preview"),
        decision_id=DecisionId("dec_preview"),
        tenant=tenant,
        user_key=key,
        campaign=body.campaign,
        channel=template.channel,
        template=name,
        template_version=template.version,
        variant=body.arm,
        offer=msgspec.json.encode(body.offer),
        locale=locale if body.locale is None else body.locale,
        zone=zone if body.zone is None else body.zone,
        traits=traits,
        features=features,
        event=msgspec.json.encode(body.event),
        address="",
        purpose=body.purpose,
        now=time.time_ns() // 1_000_000,
    )
    links = PlainLinks(parts.installation.public_url)
    brand = (await asyncio.to_thread(parts.plane.tenant_settings, tenant)).brand
    found = await asyncio.to_thread(lambda: render(parse_template(template.body), request, links, brand))
    if isinstance(found, NotRendered):
        return NoPreview(
            name=name, version=template.version, channel=template.channel, reason=found.reason, detail=found.detail
        )
    return Preview(
        name=name,
        version=template.version,
        channel=template.channel,
        locale=found.locale,
        parts=found.parts,
        headers=found.headers,
        content_hash=found.content_hash,
        sizes={part: len(text.encode()) for part, text in found.parts.items()},
        sms=_segments(found.parts["text"]) if template.channel == "sms" else None,
        findings=await asyncio.to_thread(lint_message, template.channel, found.locale, found.parts, brand),
        quality=await asyncio.to_thread(score, template.channel, found.locale, found.parts),
    )


def _segments(text: str) -> Segments:
    size = sms_size(text)
    return Segments(encoding=size.encoding, segments=size.segments, units=size.units, forcing=list(size.forcing))
