"""Has a model write variants of a template, which become drafts of templates of their own: a person publishes them.

The words of one language are written anew, everything else stays. Each variant is one question, one after another, so
that whoever watches reads one text at a time. A variant that a guardrail objects to, or that lost a value's Liquid, is
reported with its ruling and stored nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec

from cluster.control_plane.drafts import Kind
from serve_apps.gateway.services.parts import Parts
from serve_apps.generation.asking import PERSON_DEADLINE_S
from serve_apps.generation.generators import Generator
from whisperer.content.errors import TemplateError
from whisperer.content.generation.brief import MAX_BRIEF_CHARS
from whisperer.content.generation.guardrails import Asked
from whisperer.content.generation.prompt import rewrite
from whisperer.content.generation.ruling import Ruling
from whisperer.content.generation.variants import Texts, lost, rewritten, texts_of
from whisperer.content.links import hosts_in
from whisperer.content.quality.template_scores import scores_of
from whisperer.content.template import parse_template
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId

MOST_VARIANTS = 5
MOST_NAMES = 99
MOST_UNDER_WAY = 4
"""Calls per replica: each holds a connection for a minute or more."""


class VariantsBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to write: ``variants`` of the texts in ``locale`` (the template's default), for the ``brief``."""

    brief: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_BRIEF_CHARS)]
    locale: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    variants: Annotated[int, msgspec.Meta(ge=1, le=MOST_VARIANTS)] = 1


class Variant(msgspec.Struct, kw_only=True):
    """One variant.

    Attributes
    ----------
    ruling : "written", or why it is no draft (docs/generation.md), with what was objected to as ``detail``
    draft, etag : name and tag of the draft, None if there is none
    texts : what was written, by text, with placeholders
    score : by the rubric, in this language; None if there is no draft
    """

    number: int
    ruling: str
    detail: str = ""
    draft: str | None = None
    etag: str | None = None
    texts: dict[str, str] = {}
    score: float | None = None
    prompt_hash: str = ""
    tokens: int = 0
    ms: int = 0


class Variants(msgspec.Struct, kw_only=True):
    """The variants of a template in one language, and the texts as they were."""

    template: str
    locale: str
    texts: dict[str, str]
    variants: list[Variant]


class NoGeneratorError(ConflictError):
    """The tenant has no generator."""

    code = "no_generator"


async def generate(parts: Parts, tenant: TenantId, name: str, body: VariantsBody) -> Variants:
    """Return the variants, once all are written. Raises like :func:`stream`."""
    found: Variants | None = None
    async for event, document in _events(parts, tenant, name, body):
        if event == "done":
            found = document
    assert found is not None
    return found


async def stream(parts: Parts, tenant: TenantId, name: str, body: VariantsBody) -> AsyncGenerator[bytes]:
    """Yield server-sent events: ``text`` as it is written, ``variant`` when one is complete, ``done`` with all.

    Raises NotFoundError for an unknown template, NoGeneratorError, and RequestError (`nothing_to_rewrite`) before the
    first event.
    """
    async for event, document in _events(parts, tenant, name, body):
        yield b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(document) + b"\n\n"


async def _events(parts: Parts, tenant: TenantId, name: str, body: VariantsBody) -> AsyncGenerator[tuple[str, Any]]:
    held = await asyncio.to_thread(parts.plane.get_template, tenant, name)
    generator = await parts.generators.of(tenant)
    if generator is None:
        raise NoGeneratorError("no generator is set up: PUT settings/generator first")
    texts = texts_of(held.body, body.locale)
    if texts is None or not texts.texts:
        raise RequestError("the template has no texts in this language", code="nothing_to_rewrite")
    found = Variants(template=name, locale=texts.locale, texts=texts.shown, variants=[])
    yield "begun", {"template": name, "locale": texts.locale, "texts": texts.shown}
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    for number in range(1, body.variants + 1):
        writing = asyncio.ensure_future(
            _variant(parts, tenant, generator, name, held.body, texts, body.brief, (number, body.variants), heard)
        )
        writing.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (piece := await heard.get()) is not None:
                yield "text", {"number": number, "text": piece}
            found.variants.append(await writing)
        finally:
            writing.cancel()
        yield "variant", found.variants[-1]
    yield "done", found


async def _variant(
    parts: Parts,
    tenant: TenantId,
    generator: Generator,
    name: str,
    source: dict[str, Any],
    texts: Texts,
    brief: str,
    which: tuple[int, int],
    heard: asyncio.Queue[str | None],
) -> Variant:
    number, of = which
    wanted = brief if of == 1 else f"{brief}\n(Version {number} of {of}: differ from the others in tone and structure.)"
    prompt = rewrite(texts.private.hidden(wanted), generator.voice, texts.locale, texts.shown, texts.limits)
    asked = Asked(prompt, generator.voice, texts.locale, texts.private, hosts_in(str(source["locales"])))
    story = await parts.asking.ask(
        tenant, generator, asked, within_s=PERSON_DEADLINE_S, heard=heard.put_nowait, may_keep=False
    )
    record = story.record
    made = Variant(
        number=number,
        ruling=record.ruling,
        detail=record.detail,
        prompt_hash=record.prompt_hash,
        tokens=record.tokens,
        ms=record.ms,
        texts=dict(story.slots),
    )
    if not story.is_written:
        return made
    if missing := lost(texts, story.slots):
        made.ruling, made.detail = Ruling.UNKNOWN_PLACEHOLDER, f"placeholders are not as they were in {missing[0]}"
        return made
    body = rewritten(source, texts, story.slots)
    try:
        scores = await asyncio.to_thread(lambda: scores_of(parse_template(body)))
        made.draft, made.etag = await asyncio.to_thread(_store, parts, tenant, name, body)
    except TemplateError as error:
        made.ruling, made.detail = Ruling.UNFIT_MESSAGE, error.message[:300]
        return made
    made.score = next(one.score for one in scores.locales if one.locale == texts.locale)
    return made


def _store(parts: Parts, tenant: TenantId, name: str, body: dict[str, Any]) -> tuple[str, str | None]:
    """Store a variant as a draft under the first name that is free; return its name and tag."""
    for number in range(1, MOST_NAMES + 1):
        called = f"{name[:48]}-variant-{number}"
        try:
            parts.plane.get_template(tenant, called)
            continue
        except NotFoundError:
            pass
        try:
            return called, parts.plane.put_draft(tenant, Kind.TEMPLATE, called, body, is_new=True).etag
        except ConflictError as error:
            if error.code != "precondition_failed":
                raise
    raise ConflictError(f"there are {MOST_NAMES} variants of {name} already: delete drafts", code="too_many_drafts")
