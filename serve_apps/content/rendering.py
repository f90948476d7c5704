"""Renders batches: finds each request's template, compiled once, and answers every request separately.

A request whose template is missing, or no longer compiles, is not rendered and says why; the rest of its batch is. If
the control plane cannot be asked, nothing is known about any message, so the whole batch raises and is retried later.
Published versions never change, so a compiled template becomes stale only when a block that it uses has a newer
version: that is looked at whenever the control plane's version has changed, of templates with blocks alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec

from cluster.control_plane import ShortLink
from serve_apps.content.brands import Brand, Brands
from whisperer.content.blocks import Filled
from whisperer.content.errors import TemplateError
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.render import not_rendered, render
from whisperer.content.template import Template, parse_template
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import NotFoundError
from whisperer.feedback.links import LinkSigner, SignedLinks
from whisperer.feedback.references import Reference, References
from whisperer.feedback.short_links import CodedLinks, expires_at, is_same
from whisperer.ids import TenantId
from whisperer.vocabulary.reasons import Reason

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

    def filled_template(self, tenant: str, body: Any) -> Filled:
        """Return the JSON with its blocks. Raises TemplateError."""

    def block_versions(self, tenant: str) -> dict[str, int]:
        """Return the newest version of each block."""

    def keep_short_links(self, links: Sequence[ShortLink], now: int) -> dict[str, str]:
        """Keep short links; return code -> the token that it stands for."""

    def version(self) -> int: ...

    def tenant_settings(self, tenant: str) -> Any:
        """Return settings with a ``brand``. Raises NotFoundError."""


@dataclass(slots=True)
class _Held:
    """A compiled template, the versions of its blocks, and the control plane's version when they were the newest."""

    template: Template
    blocks: Mapping[str, int]
    seen: int


class Rendering:
    """The compiled templates of one replica, and the secret that signs its links."""

    def __init__(
        self,
        source: TemplateSource,
        signer: LinkSigner,
        base_url: str,
        references: References | None = None,
        *,
        secret: bytes = b"",
    ) -> None:
        self._source = source
        self._references = references
        self._signer = signer
        self._base_url = base_url
        self._secret = secret
        self._compiled: OrderedDict[Key, _Held] = OrderedDict()
        self._brands = Brands(source)

    async def render(self, batch: bytes) -> bytes:
        """Render a batch: msgpack of list[RenderRequest] -> msgpack of list[Rendered | NotRendered], in the same
        order."""
        requests = decode_requests(batch)
        templates = {key: await self._template(key) for key in dict.fromkeys(map(_key, requests))}
        brands = {tenant: await self._brands.of(tenant) for tenant in {request.tenant for request in requests}}
        return await asyncio.to_thread(self._render, requests, templates, brands)

    def _render(
        self,
        requests: list[RenderRequest],
        templates: Mapping[Key, Template | str],
        brands: Mapping[TenantId, Brand],
    ) -> bytes:
        answers: list[Rendered | NotRendered] = []
        coded: dict[int, CodedLinks] = {}
        for place, request in enumerate(requests):
            template = templates[_key(request)]
            if isinstance(template, str):
                answers.append(not_rendered(request, Reason.TEMPLATE_FAILED, template))
            else:
                brand = brands[request.tenant]
                links = self._links(request, brand)
                answers.append(render(template, request, links, brand.values))
                if isinstance(links, CodedLinks) and links.made:
                    coded[place] = links
        for place in self._not_kept(coded, requests):
            request, template = requests[place], templates[_key(requests[place])]
            assert isinstance(template, Template)
            brand = brands[request.tenant]
            answers[place] = render(template, request, self._links(request, brand, is_short=False), brand.values)
        return _encode([self._referred(one, request) for one, request in zip(answers, requests, strict=True)])

    def _not_kept(self, coded: Mapping[int, CodedLinks], requests: list[RenderRequest]) -> list[int]:
        """Keep the short links of a batch; return the messages of which another has a code already.

        Raises what the control plane raises: nothing with a link that leads nowhere goes out.
        """
        if not coded:
            return []
        now = max(requests[place].now for place in coded)
        rows = [
            ShortLink(code, requests[place].tenant, requests[place].user_key, token, expires_at(requests[place].now))
            for place, links in coded.items()
            for code, token in links.made.items()
        ]
        kept = self._source.keep_short_links(rows, now)
        return [
            place
            for place, links in coded.items()
            if any(not is_same(self._signer, token, kept[code], now) for code, token in links.made.items())
        ]

    async def _template(self, key: Key) -> Template | str:
        """Return the compiled template, or why there is none."""
        held = self._compiled.get(key)
        version = await self._brands.version() if held is None or held.blocks else -1
        if held is not None and (not held.blocks or held.seen == version or await self._is_current(key, held, version)):
            self._compiled.move_to_end(key)
            return held.template
        try:
            held = await asyncio.to_thread(self._load, key, version)
        except (NotFoundError, TemplateError) as error:
            return error.message
        self._compiled[key] = held
        while len(self._compiled) > MAX_COMPILED:
            self._compiled.popitem(last=False)
        return held.template

    async def _is_current(self, key: Key, held: _Held, version: int) -> bool:
        """Return whether the blocks that a template was compiled with are the newest, as far as anybody can say."""
        try:
            newest = await asyncio.to_thread(self._source.block_versions, key[0])
        except Exception:  # the control plane is away: what is known stays, and is looked at with the next batch
            return True
        if any(newest.get(name) != at for name, at in held.blocks.items()):
            return False
        held.seen = version
        return True

    def _load(self, key: Key, version: int) -> _Held:
        filled = self._source.filled_template(key[0], self._source.template(*key))
        return _Held(parse_template(filled.body), filled.used, version)

    def _referred(self, answer: Rendered | NotRendered, request: RenderRequest) -> Rendered | NotRendered:
        """Add to a message what its provider's callbacks will refer to."""
        if self._references is None or isinstance(answer, NotRendered):
            return answer
        stop = address_hash(request.channel, request.address)
        made = Reference(request.tenant, request.user_key, request.decision_id, request.channel, stop)
        return msgspec.structs.replace(answer, reference=self._references.make(made))

    def _links(self, request: RenderRequest, brand: Brand, *, is_short: bool = True) -> SignedLinks:
        """Return what makes a message's links: short ones in an SMS of a tenant that has an address for them."""
        base_url = brand.links_base_url or self._base_url
        make = partial(CodedLinks, secret=self._secret) if is_short and self._shortens(request, brand) else SignedLinks
        return make(
            self._signer,
            base_url,
            tenant=request.tenant,
            user_key=request.user_key,
            decision_id=request.decision_id,
            channel=request.channel,
            purpose=request.purpose,
            now=request.now,
        )

    def _shortens(self, request: RenderRequest, brand: Brand) -> bool:
        return bool(self._secret and brand.links_base_url) and request.channel == "sms"


def _key(request: RenderRequest) -> Key:
    return request.tenant, request.template, request.template_version
