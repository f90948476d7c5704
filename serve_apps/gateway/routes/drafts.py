"""Drafts of every kind: written, submitted, taken live, compared and rolled back, under the same names.

Each kind is one entry of :data:`KINDS_OF_ROUTES`. docs/publishing.md describes the bodies; reviews have a resource of
their own (:mod:`serve_apps.gateway.routes.reviews`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cluster.control_plane.documents import CampaignDocument, TemplateDocument, template_document
from cluster.control_plane.drafts import (
    KINDS,
    PUBLISHED,
    DeletedDraft,
    DifferenceDocument,
    DraftDocument,
    Kind,
    ReviewDocument,
    RevisionDocument,
)
from cluster.control_plane.listing import After
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, IfNoneMatch, InvalidBodyError, answer, read_as, read_object
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.routes import examples, segments, templates
from serve_apps.gateway.routes.examples import DIFFERENCE, DRAFT, REVIEW, REVISION
from serve_apps.gateway.routes.policies import Version as PolicyVersion
from serve_apps.gateway.services.creating import predicate_of
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.segments import SegmentDocument
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.journeys.schema import EXAMPLE as CAMPAIGN

MAX_VERSION = 2**31 - 1
MAX_NOTE = 2_000


class SubmissionBody(msgspec.Struct, forbid_unknown_fields=True):
    """What the reviewer should know."""

    note: Annotated[str, msgspec.Meta(max_length=MAX_NOTE)] = ""


class RollbackToBody(msgspec.Struct, forbid_unknown_fields=True):
    """The version whose content goes live again."""

    to: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]


class PolicyDraftBody(msgspec.Struct, forbid_unknown_fields=True):
    """The registered version that is to be rolled out."""

    version: PolicyVersion


From = Annotated[str, Query(alias="from", pattern=r"^(draft|live|[1-9][0-9]{0,9})$", description="a version, or these")]
To = Annotated[str, Query(alias="to", pattern=r"^(draft|live|[1-9][0-9]{0,9})$", description="a version, or these")]

Shown = Callable[[Parts, TenantId, str], Awaitable[tuple[Any, str]]]


@dataclass(frozen=True, slots=True)
class RoutesOfKind:
    """What is particular to a kind.

    Attributes
    ----------
    body : reads the draft that a caller writes, without its name
    schema, example : of that body
    name : of the examples
    publishes : None for a kind that does not go live from its draft
    shown : what is answered, with its tag, after something went live
    published : its type, with an example
    reaches_shards : whether shards have to be told
    """

    reads: Permission
    writes: Permission
    body: Callable[[Request], Awaitable[dict[str, Any]]]
    schema: str
    example: dict[str, Any]
    name: str
    publishes: Permission | None = None
    shown: Shown | None = None
    published: tuple[Any, dict[str, Any]] | None = None
    reaches_shards: bool = True


async def _campaign(parts: Parts, tenant: TenantId, name: str) -> tuple[Any, str]:
    found = await parts.campaigns.show(tenant, name)
    return found, found.etag or ""


async def _template(parts: Parts, tenant: TenantId, name: str) -> tuple[Any, str]:
    found = template_document(await asyncio.to_thread(parts.plane.get_template, tenant, name))
    return found, found.etag


async def _segment(parts: Parts, tenant: TenantId, name: str) -> tuple[Any, str]:
    found = await parts.publishing.show(tenant, name)
    return found, found.etag


async def _predicate(request: Request) -> dict[str, Any]:
    return {"predicate": predicate_of(await read_object(request))}


async def _version(request: Request) -> dict[str, Any]:
    return {"version": (await read_as(request, PolicyDraftBody)).version}


KINDS_OF_ROUTES: dict[Kind, RoutesOfKind] = {
    Kind.CAMPAIGN: RoutesOfKind(
        Permission.CAMPAIGNS_READ,
        Permission.CAMPAIGNS_WRITE,
        read_object,
        "Campaign",
        CAMPAIGN,
        "trial-welcome",
        Permission.CAMPAIGNS_PUBLISH,
        _campaign,
        (CampaignDocument, examples.CAMPAIGN),
    ),
    Kind.TEMPLATE: RoutesOfKind(
        Permission.TEMPLATES_READ,
        Permission.TEMPLATES_WRITE,
        read_object,
        "TemplateContent",
        templates.EXAMPLE,
        "tips-email",
        Permission.TEMPLATES_PUBLISH,
        _template,
        (TemplateDocument, templates.SHOWN),
        reaches_shards=False,
    ),
    Kind.SEGMENT: RoutesOfKind(
        Permission.SEGMENTS_READ,
        Permission.SEGMENTS_WRITE,
        _predicate,
        "SegmentContent",
        segments.EXAMPLE,
        "regulars",
        Permission.SEGMENTS_PUBLISH,
        _segment,
        (SegmentDocument, segments.SHOWN),
    ),
    Kind.POLICY: RoutesOfKind(
        Permission.POLICIES_READ, Permission.POLICIES_WRITE, _version, "PolicyDraft", {"version": 2}, "offers"
    ),
}


HISTORY = Listing("history", RevisionDocument, key="version", sorts=(), usual="-version")


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter()
    for kind, entry in KINDS_OF_ROUTES.items():
        _drafts(routes, parts, tenant_of, kind, entry)
        if kind in PUBLISHED:
            _publication(routes, parts, tenant_of, kind, entry)
    return routes


def _drafts(routes: APIRouter, parts: Parts, tenant_of: TenantOf, kind: Kind, entry: RoutesOfKind) -> None:
    plane, plural = parts.plane, KINDS[kind].plural
    told: dict[str, Any] = {"tags": [plural]}
    Reader = Annotated[TenantId, Depends(tenant_of(entry.reads))]
    Writer = Annotated[TenantId, Depends(tenant_of(entry.writes))]

    shown = answered(DraftDocument, DRAFT | {"kind": str(kind), "name": entry.name, "content": entry.example})

    @routes.get(
        f"/{plural}/{{name}}/draft",
        summary="The draft, which users do not get",
        name=f"{kind}_draft",
        openapi_extra=shown,
        **told,
    )
    async def get_draft(name: str, tenant_id: Reader) -> Response:
        found = await asyncio.to_thread(plane.get_draft, tenant_id, kind, name)
        return answer(found, etag=found.etag)

    @routes.put(
        f"/{plural}/{{name}}/draft",
        summary="Write the draft; what is live stays",
        name=f"put_{kind}_draft",
        openapi_extra=described(entry.schema, entry.example) | shown,
        **told,
    )
    async def put_draft(
        name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> Response:
        body = await entry.body(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", f"a {kind} keeps its name; leave it out, or write another draft")
        is_new = if_none_match is not None
        write = partial(plane.put_draft, tenant_id, kind, name, body, if_match=if_match, is_new=is_new)
        async with parts.compiling if kind is Kind.TEMPLATE else nullcontext():
            written = await asyncio.to_thread(write)
        return answer(written, etag=written.etag)

    @routes.delete(
        f"/{plural}/{{name}}/draft",
        summary="Delete the draft; what is live stays",
        name=f"delete_{kind}_draft",
        openapi_extra=answered(DeletedDraft, {"kind": str(kind), "name": entry.name, "deleted": True}),
        **told,
    )
    async def delete_draft(name: str, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        delete = partial(plane.delete_draft, tenant_id, kind, name, if_match=if_match)
        return answer(await asyncio.to_thread(delete))

    @routes.post(
        f"/{plural}/{{name}}/submit",
        summary="Submit the draft: somebody else is asked to approve it",
        status_code=201,
        name=f"submit_{kind}",
        openapi_extra=described("Submission", {"note": "shorter, as support asked"}, required=False)
        | answered(ReviewDocument, REVIEW | {"kind": str(kind), "name": entry.name}, 201),
        **told,
    )
    async def submit(name: str, request: Request, tenant_id: Writer, if_match: IfMatch = None) -> Response:
        body = await read_as(request, SubmissionBody, {})
        send = partial(plane.submit_draft, tenant_id, kind, name, note=body.note, if_match=if_match)
        review = await asyncio.to_thread(send)
        submitted = answer(review, 201)
        submitted.headers["Location"] = f"{request.url.path.rsplit('/', 3)[0]}/reviews/{review.id}"
        return submitted

    @routes.get(
        f"/{plural}/{{name}}/diff",
        summary="What differs between two versions, or the draft and what is live",
        name=f"{kind}_diff",
        openapi_extra=answered(DifferenceDocument, DIFFERENCE | {"kind": str(kind), "name": entry.name}),
        **told,
    )
    async def diff(name: str, tenant_id: Reader, from_: From = "live", to: To = "draft") -> Response:
        compare = partial(plane.difference, tenant_id, kind, name, _which(from_), _which(to))
        return answer(await asyncio.to_thread(compare))


def _publication(routes: APIRouter, parts: Parts, tenant_of: TenantOf, kind: Kind, entry: RoutesOfKind) -> None:
    plane, plural, shown = parts.plane, KINDS[kind].plural, entry.shown
    assert entry.publishes is not None
    assert shown is not None
    assert entry.published is not None
    told: dict[str, Any] = {"tags": [plural]}
    Reader = Annotated[TenantId, Depends(tenant_of(entry.reads))]
    Publisher = Annotated[TenantId, Depends(tenant_of(entry.publishes))]

    async def live(tenant_id: TenantId, name: str) -> Response:
        if entry.reaches_shards:
            await parts.publishing.bring(tenant_id)
        document, tag = await shown(parts, tenant_id, name)
        return answer(document, etag=tag)

    @routes.post(
        f"/{plural}/{{name}}/publish",
        summary="Publish the draft: it is live, and never changes again",
        name=f"publish_{kind}",
        openapi_extra=answered(*entry.published),
        **told,
    )
    async def publish(name: str, tenant_id: Publisher, if_match: IfMatch = None) -> Response:
        # A live campaign may be published again without a draft, to take up newer templates.
        act = plane.publish_campaign if kind is Kind.CAMPAIGN else partial(plane.publish_draft, kind=kind)
        await asyncio.to_thread(partial(act, tenant_id, name=name, if_match=if_match))
        return await live(tenant_id, name)

    @routes.get(
        f"/{plural}/{{name}}/history",
        summary="What went live, newest first: by whom, and by which review",
        name=f"{kind}_history",
        openapi_extra=HISTORY.documented(REVISION),
        **told,
    )
    async def history(name: str, tenant_id: Reader, asked: Annotated[Asked, Depends(HISTORY.asked)]) -> Response:
        after, limit = asked.after(tenant_id), asked.limit
        before = None if after is None else int(after.key)
        read = partial(plane.history, tenant_id, kind, name, before=before, limit=limit + 1)
        found = await asyncio.to_thread(read)
        last = After(str(found[limit - 1].version)) if len(found) > limit else None
        return asked.answer(tenant_id, found[:limit], last)

    @routes.post(
        f"/{plural}/{{name}}/rollback",
        summary="Take the content of an older version live again, as a new version",
        name=f"rollback_{kind}",
        openapi_extra=described("RollbackTo", {"to": 1}) | answered(*entry.published),
        **told,
    )
    async def roll_back(name: str, request: Request, tenant_id: Publisher, if_match: IfMatch = None) -> Response:
        body = await read_as(request, RollbackToBody)
        await asyncio.to_thread(partial(plane.roll_back, tenant_id, kind, name, body.to, if_match=if_match))
        return await live(tenant_id, name)


def _which(text: str) -> int | str:
    return int(text) if text.isdigit() else text
