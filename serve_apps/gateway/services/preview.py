"""Renders a template to be looked at: nothing is sent, and its links record nothing.

It is rendered for a user as known now (`user_id`), or for made-up traits; both may be given, and stated traits then
override the user's own. What cannot be rendered is reported in the answer, not as an error: it is what the author wants
to know.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec

from cluster.control_plane import ControlPlane, TemplateVersion
from serve_apps.gateway.http.exchange import InvalidBodyError
from serve_apps.gateway.http.paging import MAX_VERSION
from serve_apps.gateway.services.parts import Parts
from whisperer.content.blocks import BLOCK, STANDS_FOR
from whisperer.content.errors import TemplateError
from whisperer.content.links import PlainLinks
from whisperer.content.lint.checks import lint_message
from whisperer.content.lint.finding import Finding
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.quality.score import Score, score
from whisperer.content.recent import RecentEvent, bounded
from whisperer.content.render import not_rendered, render
from whisperer.content.sms_segments import sms_size
from whisperer.content.supplies import Coupons, Supplies
from whisperer.content.template import Template, parse_template
from whisperer.delivery.senders import (
    MAX_NAME_CHARS,
    MAX_REPLY_TO_CHARS,
    OF_CHANNEL,
    Sender,
    name_problem,
    reply_to_problem,
)
from whisperer.eligibility.rules import MARKETING
from whisperer.errors import NotFoundError
from whisperer.events.types import EventType
from whisperer.feedback.links import LinkSigner, SignedLinks
from whisperer.feedback.short_links import CodedLinks
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey, known_key
from whisperer.shard.views.user import UserView
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.inapp import Unfit
from whisperer.vocabulary.push import MOST_BYTES, Platform, push_sizes, read_push
from whisperer.vocabulary.reasons import Reason

_Text = Annotated[str, msgspec.Meta(max_length=200)]

NO_CAMPAIGN = NO_ARM = "preview"
"""What a template sees as ``campaign`` and ``arm`` where none is named."""
_NO_SECRET = bytes(32)


class PreviewBody(msgspec.Struct, forbid_unknown_fields=True):
    """``event``: properties of the event that would have triggered it. ``version``: the newest if none is named.

    ``campaign`` and ``arm``: what the template sees; an e-mail names its sender as that arm of the tenant's campaign
    would, in its draft if there is one. ``from_name`` and ``reply_to`` take the place of what they say.
    """

    locale: _Text | None = None
    zone: _Text | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    traits: dict[str, Any] = {}
    offer: dict[str, Any] | None = None
    event: dict[str, Any] = {}
    arm: _Text = NO_ARM
    campaign: _Text = NO_CAMPAIGN
    purpose: _Text = MARKETING
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)] | None = None
    from_name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)] | None = None
    reply_to: Annotated[str, msgspec.Meta(max_length=MAX_REPLY_TO_CHARS)] | None = None

    @property
    def names_campaign(self) -> bool:
        """Return whether something is looked up in a campaign, which takes the permission to read it."""
        return self.campaign != NO_CAMPAIGN


class Segments(msgspec.Struct, kw_only=True):
    """What an SMS is billed as; ``forcing``: the characters that make it UCS-2."""

    encoding: str
    segments: int
    units: int
    forcing: list[str]


class PlatformSize(msgspec.Struct, kw_only=True):
    """The bytes of a push message on one platform, with all that its provider adds, and the most that it takes."""

    platform: Platform
    bytes: int
    most: int


class Preview(msgspec.Struct, kw_only=True):
    """The parts and headers of a message.

    ``placeholders``: coupon pools whose codes only a message that is sent has; ``sizes``: bytes by part; ``sms``,
    ``push``: of such a message alone; ``findings``: what the lint finds in the message as it is; ``quality``: its score
    by the rubric of docs/quality.md; ``from_name``, ``reply_to``: whom an e-mail names as its sender, null for the
    channel's own.
    """

    name: str
    version: int
    channel: str
    rendered: bool = True
    locale: str
    parts: dict[str, str]
    headers: dict[str, str]
    content_hash: str
    placeholders: list[str]
    sizes: dict[str, int]
    sms: Segments | None
    push: list[PlatformSize] | None = None
    findings: list[Finding]
    quality: Score
    from_name: str | None = None
    reply_to: str | None = None


class NoPreview(msgspec.Struct, kw_only=True):
    """Why there is no message."""

    name: str
    version: int
    channel: str
    rendered: bool = False
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as it would be sent, apart from its links: which template, who for, and what became of it."""

    template: TemplateVersion
    brand: Mapping[str, str]
    user_key: UserKey
    rendered: Rendered | NotRendered
    placeholders: list[str]
    """Coupon pools whose codes only a message that is sent has."""
    as_sent: Rendered | None = None
    """Of an SMS: with links as long as they will be."""
    sender: Sender = OF_CHANNEL
    """Of an e-mail: whom it names."""


async def preview(parts: Parts, tenant: TenantId, name: str, body: PreviewBody) -> Preview | NoPreview:
    """Return the parts and headers of the message.

    Raises NotFoundError for an unknown template or user, and InvalidBodyError.
    """
    shown = await show(parts, tenant, name, body)
    template, found = shown.template, shown.rendered
    if isinstance(found, NotRendered):
        return no_preview(name, template, found)
    lint_as = STANDS_FOR if template.channel == BLOCK else template.channel
    return Preview(
        name=name,
        version=template.version,
        channel=template.channel,
        locale=found.locale,
        parts=found.parts,
        headers=found.headers,
        content_hash=found.content_hash,
        placeholders=shown.placeholders,
        sizes={part: len(text.encode()) for part, text in found.parts.items()},
        sms=None if shown.as_sent is None else _segments(shown.as_sent.parts["text"]),
        push=_platforms(found.parts) if template.channel == "push" else None,
        findings=await asyncio.to_thread(lint_message, lint_as, found.locale, found.parts, shown.brand),
        quality=await asyncio.to_thread(score, lint_as, found.locale, found.parts),
        from_name=shown.sender.name or None,
        reply_to=shown.sender.reply_to or None,
    )


def no_preview(name: str, template: TemplateVersion, why: NotRendered) -> NoPreview:
    """Return why there is no message."""
    return NoPreview(
        name=name, version=template.version, channel=template.channel, reason=why.reason, detail=why.detail
    )


async def show(parts: Parts, tenant: TenantId, name: str, body: PreviewBody) -> Shown:
    """Render the message, with links that lead straight to their targets. Raises NotFoundError and InvalidBodyError."""
    stated = _stated_sender(body)
    template = await asyncio.to_thread(parts.plane.get_template, tenant, name, body.version)
    parsed = await asyncio.to_thread(_parsed, parts, tenant, template)
    is_block = template.channel == BLOCK
    traits: dict[str, bytes] = {}
    recent: list[RecentEvent] = []
    features: dict[str, float] = {}
    key, locale, zone = known_key("preview"), "", ""
    if body.user_id is not None:
        view = await parts.users.find(
            tenant, body.user_id, with_events=isinstance(parsed, Template) and parsed.shows_recent
        )
        recent = recent_of(view)
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
        channel=STANDS_FOR if is_block else template.channel,
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
        recent=recent,
    )
    links = PlainLinks(parts.installation.public_url)
    settings = await asyncio.to_thread(parts.plane.tenant_settings, tenant)
    brand = settings.brand
    if isinstance(parsed, str):
        return Shown(template, brand, key, not_rendered(request, Reason.TEMPLATE_FAILED, parsed), [])
    catalogues = await parts.stock.catalogues(tenant, {pick.catalogue for pick in parsed.picks})
    # A preview takes no codes: it shows what stands for them.
    coupons = Coupons(await parts.stock.code_lengths(tenant) if parsed.pools else {})
    supplies = Supplies(catalogues, coupons)

    def rendered() -> tuple[Rendered | NotRendered, Rendered | None]:
        made = render(parsed, request, links, brand, supplies)
        if template.channel != "sms" or isinstance(made, NotRendered):
            return made, None
        links_as_sent = _links_as_sent(request, settings.links_base_url, parts.public_url)
        as_sent = render(parsed, request, links_as_sent, brand, supplies)
        return (as_sent, None) if isinstance(as_sent, NotRendered) else (made, as_sent)

    found, as_sent = await asyncio.to_thread(rendered)
    sender = OF_CHANNEL
    if not is_block and CHANNELS[template.channel].names_sender:
        named = await asyncio.to_thread(_sender_in, parts.plane, tenant, body)
        sender = Sender(stated.name or named.name, stated.reply_to or named.reply_to)
    return Shown(template, brand, key, found, sorted(coupons.asked), as_sent, sender)


def _stated_sender(body: PreviewBody) -> Sender:
    """Return what a caller says about the sender, checked as a campaign's is."""
    for name, text, problem_of in (
        ("from_name", body.from_name, name_problem),
        ("reply_to", body.reply_to, reply_to_problem),
    ):
        if text is not None and (problem := problem_of(text)) is not None:
            raise InvalidBodyError(f"/{name}", problem.message)
    return Sender((body.from_name or "").strip(), (body.reply_to or "").strip())


def _sender_in(plane: ControlPlane, tenant: TenantId, body: PreviewBody) -> Sender:
    """Return whom the campaign that a message is shown for names as its sender: its draft, or the version in force."""
    if not body.names_campaign:
        return OF_CHANNEL
    try:
        found = plane.get_campaign(tenant, body.campaign)
        if found.draft_version is not None:
            found = plane.get_campaign(tenant, body.campaign, found.draft_version)
    except NotFoundError:  # templates see any name
        return OF_CHANNEL
    return found.campaign.sender_of(body.arm)


def _parsed(parts: Parts, tenant: TenantId, template: TemplateVersion) -> Template | str:
    """Return a template with its blocks, or why it does not compile with them."""
    try:
        return parse_template(parts.plane.filled_template(tenant, template.body).body)
    except TemplateError as error:
        return error.message


def _links_as_sent(request: RenderRequest, own_url: str, public_url: str) -> SignedLinks:
    """Return links that lead nowhere, and are as long as those of the message that will be sent."""
    make = partial(CodedLinks, secret=_NO_SECRET) if own_url else SignedLinks
    return make(
        LinkSigner(_NO_SECRET),
        own_url or public_url,
        tenant=request.tenant,
        user_key=request.user_key,
        decision_id=DecisionId("dec_" + "0" * 26),
        channel=request.channel,
        purpose=request.purpose,
        now=request.now,
    )


def _platforms(parts: dict[str, str]) -> list[PlatformSize]:
    push = read_push(parts)
    assert not isinstance(push, Unfit), "what does not fit is not rendered"
    return [
        PlatformSize(platform=platform, bytes=size, most=MOST_BYTES[platform])
        for platform, size in push_sizes(push).items()
    ]


def recent_of(view: UserView) -> list[RecentEvent]:
    """Return what the user's shard would pass with a message."""
    tracked = (
        (entry.name, entry.timestamp, event.payload)
        for entry, event in zip(view.timeline, view.recent, strict=False)
        if event is not None and entry.kind == EventType.TRACK
    )
    return bounded(tracked)


def _segments(text: str) -> Segments:
    size = sms_size(text)
    return Segments(encoding=size.encoding, segments=size.segments, units=size.units, forcing=list(size.forcing))
