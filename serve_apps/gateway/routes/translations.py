"""The texts of a template for translators: out as JSON or XLIFF, and back in as the template's draft.

docs/templates.md describes both forms.
"""

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from cluster.control_plane.drafts import DraftDocument, Kind
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, InvalidBodyError, answer, read_body
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.routes.templates import EXAMPLE
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.content import xliff
from whisperer.content.translations import exported, imported, missing
from whisperer.errors import RequestError
from whisperer.events.place import canonical_locale
from whisperer.ids import TenantId

MAX_BYTES = 2 << 20

_LIVE: Any = EXAMPLE["locales"]
_TEXT = {"source": "Hello {{ user.name }}", "target": "Hallo {{ user.name }}"}
_TIPS = {"source": "Three tips to begin with: https://example.com", "target": "Drei Tipps: https://example.com"}
DOCUMENT = {"template": "tips-email", "source": "en", "target": "de", "texts": {"subject": _TEXT, "text": _TIPS}}
GIVEN = {
    **DOCUMENT,
    "texts": {
        "subject": {"source": "Hello {{ user.name }}", "target": ""},
        "text": {"source": "Three tips to begin with: https://example.com", "target": ""},
    },
}


class TextPair(msgspec.Struct):
    """One part: as it is in the template's own language, and in the other; an empty target is missing."""

    source: str
    target: str = ""


class Translations(msgspec.Struct):
    """The texts of a template for a translator."""

    template: str
    source: str
    target: str
    texts: dict[str, TextPair]


class LanguageStanding(msgspec.Struct):
    """A language of a template, and the parts that it lacks."""

    locale: str
    missing: list[str]


class TranslationsList(msgspec.Struct):
    """What is translated; ``source`` is the template's own language."""

    name: str
    version: int
    source: str
    languages: list[LanguageStanding]


class Imported(msgspec.Struct):
    """The draft that holds the translations, and what is missing in it."""

    draft: DraftDocument
    languages: list[LanguageStanding]


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["templates"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.TEMPLATES_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.TEMPLATES_WRITE))]
    Accept = Annotated[str, Header(max_length=1_000, include_in_schema=False)]
    Format = Annotated[
        Literal["json", "xliff"] | None, Query(description="default: what `Accept` names, else JSON; XLIFF is 2.0")
    ]

    @routes.get(
        "/templates/{name}/translations",
        summary="The languages of what is live, and what each lacks",
        openapi_extra=answered(
            TranslationsList,
            {"name": "tips-email", "version": 1, "source": "en", "languages": [{"locale": "en", "missing": []}]},
        ),
    )
    async def list_translations(name: str, tenant_id: Reader) -> Response:
        held = await asyncio.to_thread(parts.plane.get_template, tenant_id, name)
        source = canonical_locale(held.body.get("default_locale", "en")) or "en"
        return answer(TranslationsList(name, held.version, source, _standings(held.body)), etag=held.etag)

    @routes.get(
        "/templates/{name}/translations/{locale}",
        summary="The texts of what is live for a translator",
        openapi_extra=_answer_of_either(),
    )
    async def get_translations(
        name: str, locale: str, tenant_id: Reader, format: Format = None, accept: Accept = ""
    ) -> Response:
        held = await asyncio.to_thread(parts.plane.get_template, tenant_id, name)
        document = exported(name, held.body, locale)
        if format == "xliff" or (format is None and xliff.MEDIA_TYPE in accept):
            headers = {
                "Cache-Control": "no-store",
                "ETag": held.etag,
                "Content-Disposition": f'attachment; filename="{name}.{document["target"]}.xlf"',
            }
            return Response(xliff.written(document), 200, headers, media_type=xliff.MEDIA_TYPE)
        return answer(document, etag=held.etag)

    @routes.put(
        "/templates/{name}/translations/{locale}",
        summary="Write what is live, with a translator's texts in it, as the draft; JSON, XLIFF 2.0 or 1.2",
        openapi_extra=_body_of_either() | answered(Imported, _IMPORTED),
    )
    async def put_translations(
        name: str, locale: str, request: Request, tenant_id: Writer, if_match: IfMatch = None
    ) -> Response:
        document = _read(await read_body(request, MAX_BYTES), request.headers.get("content-type", ""))
        target, stated = canonical_locale(locale), document.get("target")
        if not isinstance(stated, str) or canonical_locale(stated) != target:
            raise InvalidBodyError("/target", f"these texts are not for {locale[:40]}, which the path names")
        if document.get("template", name) not in (name, ""):
            raise InvalidBodyError("/template", f"these texts are of another template than {name}")
        async with parts.compiling:
            held = await asyncio.to_thread(parts.plane.get_template, tenant_id, name)
            body = imported(held.body, document)
            write = partial(parts.plane.put_draft, tenant_id, Kind.TEMPLATE, name, body, if_match=if_match)
            draft = await asyncio.to_thread(write)
        return answer(Imported(draft, _standings(body)), etag=draft.etag)

    return routes


_IMPORTED = {
    "draft": {
        "kind": "template",
        "name": "tips-email",
        "etag": '"tips-email.draft.51ab"',
        "content": {
            **EXAMPLE,
            "locales": {**_LIVE, "de": {"subject": _TEXT["target"], "text": _TIPS["target"]}},
        },
        "live": 1,
        "created_at": "2026-01-31T09:00:00.000Z",
        "changed_at": "2026-01-31T09:00:00.000Z",
        "changed_by": "ada@example.com",
        "review": None,
        "review_state": None,
    },
    "languages": [{"locale": "en", "missing": []}, {"locale": "de", "missing": []}],
}


def _standings(body: dict[str, Any]) -> list[LanguageStanding]:
    return [LanguageStanding(canonical_locale(locale) or locale, missing(body, locale)) for locale in body["locales"]]


def _read(body: bytes, content_type: str) -> dict[str, Any]:
    """Return a translator's document. Raises TemplateError and RequestError (`malformed_json`)."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in (xliff.MEDIA_TYPE, "application/xml", "text/xml"):
        return xliff.read(body)
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RequestError(
            f"this is not JSON; XLIFF comes as Content-Type: {xliff.MEDIA_TYPE}", code="malformed_json"
        ) from None
    if not isinstance(found, dict):
        raise InvalidBodyError("", "write an object")
    return found


def _body_of_either() -> dict[str, Any]:
    """Return the OpenAPI of a body that is JSON or XLIFF."""
    found = described("Translations", DOCUMENT)
    found["requestBody"]["content"][xliff.MEDIA_TYPE] = {
        "schema": {"type": "string"},
        "example": xliff.written(DOCUMENT),
    }
    return found


def _answer_of_either() -> dict[str, Any]:
    """Return the OpenAPI of an answer that is JSON or XLIFF."""
    found = answered(Translations, GIVEN)
    found["responses"]["200"]["content"][xliff.MEDIA_TYPE] = {
        "schema": {"type": "string"},
        "example": xliff.written(DOCUMENT),
    }
    return found
