"""Renders batches: finds each request's template, compiled once, and answers every request separately.

A request whose template is missing, or no longer compiles, is not rendered and says why; the rest of its batch is. If
the control plane cannot be asked, nothing is known about any message, so the whole batch raises and is retried later.
Published versions never change, so a compiled template never becomes stale.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from serve_apps.content.brands import Brands
from serve_apps.content.writing import NOTHING, Writing, Written
from whisperer.content.errors import TemplateError
from whisperer.content.generation.record import Provenance
from whisperer.content.generation.record import written as provenance
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.quality.score import score
from whisperer.content.render import not_rendered, render
from whisperer.content.template import Template, parse_template
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import NotFoundError
from whisperer.feedback.links import LinkSigner, SignedLinks
from whisperer.feedback.references import Reference, References
from whisperer.ids import TenantId
from whisperer.vocabulary.reasons import Reason

SAMPLED = 16
"""A score takes about as long as rendering: one message in so many is scored, by its send key."""

MAX_COMPILED = 512
"""About 0.3 MB each for a large template in five locales."""

Key = tuple[TenantId, str, int]
"""Tenant, name, version."""

decode_requests = msgspec.msgpack.Decoder(list[RenderRequest]).decode
_encode = msgspec.msgpack.Encoder().encode


class TemplateSource(Protocol):
    """The part of the control plane that serves templates; its calls block."""

    def template(self, tenant_id: TenantId, name: str, version: int) -> dict[str, Any]:
        """Return the JSON of a published version. Raises NotFoundError."""

    def version(self) -> int: ...

    def tenant_settings(self, tenant: str) -> Any:
        """Return settings with a ``brand``. Raises NotFoundError."""


class Rendering:
    """The compiled templates of one replica, and the secret that signs its links."""

    def __init__(
        self,
        source: TemplateSource,
        signer: LinkSigner,
        base_url: str,
        references: References | None = None,
        writing: Writing | None = None,
    ) -> None:
        self._source = source
        self._references = references
        self._signer = signer
        self._base_url = base_url
        self._compiled: OrderedDict[Key, Template] = OrderedDict()
        self._brands = Brands(source)
        self._writing = writing

    async def render(self, batch: bytes) -> bytes:
        """Render a batch: msgpack of list[RenderRequest] -> msgpack of list[Rendered | NotRendered], in the same
        order."""
        requests = decode_requests(batch)
        templates = {key: await self._template(key) for key in dict.fromkeys(map(_key, requests))}
        brands = {tenant: await self._brands.of(tenant) for tenant in {request.tenant for request in requests}}
        written = [NOTHING] * len(requests)
        if self._writing is not None and any(request.brief for request in requests):
            written = await self._writing.write(requests, [templates[_key(one)] for one in requests], brands)
        return await asyncio.to_thread(self._render, requests, templates, brands, written)

    def _render(
        self,
        requests: list[RenderRequest],
        templates: Mapping[Key, Template | str],
        brands: Mapping[TenantId, Mapping[str, str]],
        written: list[Written],
    ) -> bytes:
        answers: list[Rendered | NotRendered] = []
        for request, words in zip(requests, written, strict=True):
            template = templates[_key(request)]
            if isinstance(template, str):
                answers.append(not_rendered(request, Reason.TEMPLATE_FAILED, template))
            else:
                message = self._message(template, request, brands[request.tenant], words)
                answers.append(self._referred(message, request))
        return _encode(answers)

    def _message(
        self, template: Template, request: RenderRequest, brand: Mapping[str, str], words: Written
    ) -> Rendered | NotRendered:
        """Render with a model's words, and without them if that gives no message; say where the words come from."""
        message = render(template, request, self._links(request), brand, words.slots)
        if isinstance(message, NotRendered) and words.slots and self._writing is not None:
            words = self._writing.unfit(request, words, message.detail)
            message = render(template, request, self._links(request), brand)
        if isinstance(message, NotRendered):
            return message
        quality = score(request.channel, message.locale, message.parts).score if is_scored(request) else None
        return msgspec.structs.replace(message, provenance=provenance(Provenance(quality, words.record)))

    async def _template(self, key: Key) -> Template | str:
        """Return the compiled template, or why there is none."""
        held = self._compiled.get(key)
        if held is not None:
            self._compiled.move_to_end(key)
            return held
        try:
            template = await asyncio.to_thread(self._load, key)
        except (NotFoundError, TemplateError) as error:
            return error.message
        self._compiled[key] = template
        while len(self._compiled) > MAX_COMPILED:
            self._compiled.popitem(last=False)
        return template

    def _load(self, key: Key) -> Template:
        return parse_template(self._source.template(*key))

    def _referred(self, answer: Rendered | NotRendered, request: RenderRequest) -> Rendered | NotRendered:
        """Add to a message what its provider's callbacks will refer to."""
        if self._references is None or isinstance(answer, NotRendered):
            return answer
        stop = address_hash(request.channel, request.address)
        made = Reference(request.tenant, request.user_key, request.decision_id, request.channel, stop)
        return msgspec.structs.replace(answer, reference=self._references.make(made))

    def _links(self, request: RenderRequest) -> SignedLinks:
        return SignedLinks(
            self._signer,
            self._base_url,
            tenant=request.tenant,
            user_key=request.user_key,
            decision_id=request.decision_id,
            channel=request.channel,
            purpose=request.purpose,
            now=request.now,
        )


def is_scored(request: RenderRequest) -> bool:
    """Return whether a message's quality is looked at: each one that a model had to do with, and 1 in SAMPLED."""
    return bool(request.brief) or zlib.crc32(request.send_key.encode()) % SAMPLED == 0


def _key(request: RenderRequest) -> Key:
    return request.tenant, request.template, request.template_version
