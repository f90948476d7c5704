"""Writes one template, segment or campaign from a caller's body, as a draft or live: for calls that write one, and for
those that write many.

Who may is checked here as far as it depends on the body. Whoever writes many tells the shards once, at the end
(``brings`` false).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from cluster.control_plane.documents import CampaignDocument, TemplateDocument, template_document
from cluster.control_plane.drafts import DraftDocument, Kind
from serve_apps.gateway.http.exchange import InvalidBodyError, take_flag
from serve_apps.gateway.http.principal import Principal
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.segments import PublishedSegment
from whisperer.access.permissions import Permission

Body = dict[str, Any]


async def write_template(
    parts: Parts, who: Principal, name: str, body: Body, *, if_match: str | None = None, brings: bool = True
) -> TemplateDocument | DraftDocument:
    """Publish a template's next version, or write it as a draft. Shards hold no templates, so they are told nothing."""
    async with parts.compiling:
        if not take_flag(body, "publish", True):  # who may only write calls .../draft
            return await _draft(parts, who, Permission.TEMPLATES_WRITE, Kind.TEMPLATE, name, body, if_match)
        write = partial(parts.plane.put_template, who.tenant_id, name, body, if_match=if_match)
        return template_document(await asyncio.to_thread(write))


async def write_segment(
    parts: Parts, who: Principal, name: str, body: Body, *, if_match: str | None = None, brings: bool = True
) -> PublishedSegment | DraftDocument:
    """Publish a segment's next version, or write it as a draft. Raises InvalidBodyError and PredicateError."""
    if not take_flag(body, "publish", True):
        content = {"predicate": predicate_of(body)}
        return await _draft(parts, who, Permission.SEGMENTS_WRITE, Kind.SEGMENT, name, content, if_match)
    return await parts.publishing.publish(who.tenant_id, name, predicate_of(body), if_match, brings=brings)


async def create_campaign(
    parts: Parts, who: Principal, name: str, body: Body, *, brings: bool = True
) -> CampaignDocument:
    """Create a campaign, as a draft or live at once. Raises ForbiddenError, CampaignError and ConflictError."""
    if publish := take_flag(body, "publish"):
        who.require(Permission.CAMPAIGNS_PUBLISH)
    return await parts.campaigns.create(who.tenant_id, name, body, publish, brings=brings)


def take_name(body: Body) -> str:
    """Remove the name from a body that creates something, and return it. Raises InvalidBodyError."""
    name = body.pop("name", None)
    if not isinstance(name, str):
        raise InvalidBodyError("/name", "say its name, as a text")
    return name


def predicate_of(body: Body) -> Any:
    """Return the predicate of a segment's body. Raises InvalidBodyError."""
    if "predicate" not in body:
        raise InvalidBodyError("", "say who is in it, as predicate (docs/segments.md)")
    for name in body:
        if name != "predicate":
            raise InvalidBodyError(f"/{name[:80]}", "there is no such member; a segment has a predicate")
    return body["predicate"]


async def _draft(
    parts: Parts, who: Principal, needed: Permission, kind: Kind, name: str, content: Body, if_match: str | None
) -> DraftDocument:
    who.require(needed)
    write = partial(parts.plane.put_draft, who.tenant_id, kind, name, content, if_match=if_match)
    return await asyncio.to_thread(write)
