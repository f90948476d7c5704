"""The templates resource: every change is a new version, live at once unless it is written as a draft.

docs/templates.md describes the body.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.documents import TemplateDocument, template_document
from cluster.control_plane.drafts import DraftDocument
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, InvalidBodyError, answer, made_at, read_as, read_object, streamed
from serve_apps.gateway.http.listing import Asked, Listing, of_words
from serve_apps.gateway.http.paging import Version
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.services.creating import take_name, write_template
from serve_apps.gateway.services.linting import LintBody, Linted, lint
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.preview import NoPreview, Preview, PreviewBody, preview
from serve_apps.gateway.services.proofs import Proof, ProofBody, send_proof
from serve_apps.gateway.services.scoring import ScoreBody, Scored, score
from serve_apps.gateway.services.variants import Variants, VariantsBody, generate, stream
from whisperer.access.permissions import Permission
from whisperer.content.blocks import BLOCK
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import CHANNELS

EXAMPLE = {
    "channel": "email",
    "default_locale": "en",
    "locales": {"en": {"subject": "Hello {{ user.name }}", "text": "Three tips to begin with: https://example.com"}},
    "missing": "blank",
    "defaults": {"name": "there"},
}


SHOWN = {
    "name": "tips-email",
    "version": 1,
    "channel": "email",
    "etag": '"tips-email.1"',
    "published_at": "2026-01-31T09:00:00.000Z",
    "template": EXAMPLE,
}
_MARKS = {
    "personalisation": 1.0,
    "language": 1.0,
    "readability": 1.0,
    "length": 1.0,
    "links": 1.0,
    "tone": 1.0,
    "guardrails": 1.0,
}
PREVIEW = {
    "name": "tips-email",
    "version": 1,
    "channel": "email",
    "rendered": True,
    "locale": "en",
    "parts": {"subject": "Hello Ada", "text": "Three tips to begin with: https://example.com"},
    "headers": {"List-Unsubscribe": "<https://app.example.com/m/u/...>"},
    "content_hash": "9f2c",
    "placeholders": [],
    "sizes": {"subject": 9, "text": 47},
    "sms": None,
    "push": None,
    "findings": [],
    "quality": {"score": 5.0, "marks": _MARKS},
    "from_name": "Acme, Inc.",
    "reply_to": "Acme Support <help@acme.example>",
}
PROOF = {
    "name": "tips-email",
    "version": 1,
    "channel": "email",
    "rendered": True,
    "locale": "en",
    "to": "tests@example.com",
    "send_key": "snd_01j0000000000000000000",
    "status": "accepted",
    "provider": "sink",
    "provider_id": "sink-1",
    "detail": None,
    "content_hash": "9f2c",
}
LINTED = {
    "name": "tips-email",
    "version": 1,
    "publishable": True,
    "errors": 0,
    "warnings": 1,
    "findings": [
        {
            "severity": "warning",
            "code": "link_not_https",
            "message": "http://example.com is not over https: readers are warned, and what they send can be read",
            "locale": "en",
            "part": "html",
            "line": 1,
            "column": 4,
        }
    ],
}
SCORED = {
    "name": "tips-email",
    "version": 1,
    "mean": 5.0,
    "locales": [{"locale": "en", "score": 5.0, "marks": _MARKS, "why": None}],
}
VARIANTS = {
    "template": "tips-email",
    "locale": "en",
    "texts": {"subject_1": "Hello [[value_1]]"},
    "variants": [
        {
            "number": 1,
            "ruling": "written",
            "detail": "",
            "draft": "tips-email-variant-1",
            "etag": '"9f2c"',
            "texts": {"subject_1": "Good to see you, [[value_1]]"},
            "score": 4.8,
            "prompt_hash": "5d41402abc4b2a76b9719d911017c592",
            "tokens": 412,
            "ms": 1800,
        }
    ],
}
LIST = Listing(
    "templates",
    TemplateDocument,
    sorts=("name", "published_at", "channel"),
    filters={"channel": of_words([*CHANNELS, BLOCK])},
)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["templates"])
    Publisher = Annotated[TenantId, Depends(tenant_of(Permission.TEMPLATES_PUBLISH))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.TEMPLATES_WRITE))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.TEMPLATES_READ))]

    @routes.post(
        "/templates",
        summary="Publish a template's next version, or write it as a draft",
        status_code=201,
        openapi_extra=described("NewTemplate", {"name": "tips-email", **EXAMPLE})
        | answered(TemplateDocument | DraftDocument, SHOWN, 201),
    )
    async def create_template(request: Request, tenant_id: Publisher) -> Response:
        body = await read_object(request)
        name = take_name(body)
        made = await write_template(parts, principal_of(request), name, body)
        return made_at(request, made, name, etag=made.etag)

    @routes.get(
        "/templates",
        summary="Templates by name, the newest version of each",
        openapi_extra=LIST.documented(SHOWN),
    )
    async def list_templates(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        found = await asyncio.to_thread(parts.plane.list_templates, tenant_id)
        return asked.page(tenant_id, map(template_document, found))

    @routes.get(
        "/templates/{name}",
        summary="One template: the newest version, or the one named",
        openapi_extra=answered(TemplateDocument, SHOWN),
    )
    async def get_template(name: str, tenant_id: Reader, version: Version = None) -> Response:
        found = template_document(await asyncio.to_thread(parts.plane.get_template, tenant_id, name, version))
        return answer(found, etag=found.etag)

    @routes.put(
        "/templates/{name}",
        summary="Publish a template's next version, or write it as a draft",
        openapi_extra=described("Template", EXAMPLE) | answered(TemplateDocument | DraftDocument, SHOWN),
    )
    async def put_template(name: str, request: Request, tenant_id: Publisher, if_match: IfMatch = None) -> Response:
        body = await read_object(request)
        if body.pop("name", name) != name:
            raise InvalidBodyError("/name", "a template keeps its name; leave it out, or create another one")
        made = await write_template(parts, principal_of(request), name, body, if_match=if_match)
        return answer(made, etag=made.etag)

    @routes.post(
        "/templates/{name}/preview",
        summary="Render a template for a user, or for traits; nothing is sent",
        openapi_extra=described("PreviewRequest", {"locale": "de", "traits": {"name": "Ada"}})
        | answered(Preview | NoPreview, PREVIEW),
    )
    async def preview_template(name: str, request: Request, tenant_id: Reader) -> Response:
        body = await read_as(request, PreviewBody)
        if body.user_id is not None:
            principal_of(request).require(Permission.USERS_READ)
        if body.names_campaign:
            principal_of(request).require(Permission.CAMPAIGNS_READ)
        async with parts.compiling:
            return answer(await preview(parts, tenant_id, name, body))

    @routes.post(
        "/templates/{name}/test",
        summary="Send a template to be looked at, to yourself or a test recipient; nobody's state changes",
        openapi_extra=described("TestRequest", {"to": "tests@example.com", "traits": {"name": "Ada"}, "marked": True})
        | answered(Proof | NoPreview, PROOF),
    )
    async def test_template(name: str, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, ProofBody)
        principal = principal_of(request)
        if body.user_id is not None:
            principal.require(Permission.USERS_READ)
        if body.names_campaign:
            principal.require(Permission.CAMPAIGNS_READ)
        return answer(await send_proof(parts, principal, name, body))

    @routes.post(
        "/templates/{name}/lint",
        summary="Look over a template, or one that is sent along; nothing is stored",
        openapi_extra=described("LintRequest", {}) | answered(Linted, LINTED),
    )
    async def lint_template(name: str, request: Request, tenant_id: Reader) -> Response:
        body = await read_as(request, LintBody)
        async with parts.compiling:
            return answer(await lint(parts, tenant_id, name, body))

    @routes.post(
        "/templates/{name}/score",
        summary="Score a template, or one that is sent along, in all its languages; nothing is stored",
        openapi_extra=described("ScoreRequest", {}) | answered(Scored, SCORED),
    )
    async def score_template(name: str, request: Request, tenant_id: Reader) -> Response:
        body = await read_as(request, ScoreBody)
        async with parts.compiling:
            return answer(await score(parts, tenant_id, name, body))

    @routes.post(
        "/templates/{name}/variants",
        summary="Have a model write variants, as drafts; as server-sent events for who accepts them",
        openapi_extra=described("VariantsRequest", {"brief": "Shorter, and about saving time", "variants": 2})
        | answered(Variants, VARIANTS),
    )
    async def write_variants(name: str, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, VariantsBody)
        if "text/event-stream" in request.headers.get("accept", ""):
            return await streamed(stream(parts, tenant_id, name, body), "text/event-stream")
        return answer(await generate(parts, tenant_id, name, body))

    return routes
