"""Renders batches: finds each request's template, compiled once, and answers every request separately.

A request whose template is missing, or no longer compiles, is not rendered and says why; the rest of its batch is. If
the control plane cannot be asked, nothing is known about any message, so the whole batch raises and is retried later.
Published versions never change, so a compiled template becomes stale only when a block that it uses has a newer
version: that is looked at whenever the control plane's version has changed, of templates with blocks alone.

What a template draws on is fetched before: catalogues (:mod:`serve_apps.supplies.stock`), so that nothing is asked
while a message is made, and coupon codes in rounds. A message is first made with placeholders, like a preview; if it
can go out and has some, codes are given, for all of a batch at once, and it is made again. So a message that is refused
takes no code, and one that is made again, by this process or another, has the same one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import msgspec

from actors.telemetry.logs import Seldom
from cluster.control_plane import ShortLink
from cluster.control_plane.coupons import Ask
from serve_apps.content.brands import Brand, Brands
from serve_apps.content.writing import NOTHING, Writing, Written
from serve_apps.supplies.stock import Stock
from whisperer.content.blocks import Filled
from whisperer.content.catalogue.table import ItemTable
from whisperer.content.errors import TemplateError
from whisperer.content.generation.record import Provenance
from whisperer.content.generation.record import written as provenance
from whisperer.content.message import Answer, NotRendered, Rendered, RenderRequest, Wanting
from whisperer.content.quality.score import score
from whisperer.content.render import not_rendered, render
from whisperer.content.supplies import MOST_POOLS, Coupons, Supplies
from whisperer.content.template import Template, parse_template
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import NotFoundError
from whisperer.feedback.links import LinkSigner, SignedLinks
from whisperer.feedback.references import Reference, References
from whisperer.feedback.short_links import CodedLinks, expires_at, is_same
from whisperer.ids import TenantId
from whisperer.vocabulary.reasons import Reason

SAMPLED = 16
"""A score takes about as long as rendering: one message in so many is scored, by its send key."""

MAX_COMPILED = 512
"""About 0.3 MB each for a large template in five locales."""

Key = tuple[TenantId, str, int]
"""Tenant, name, version."""

_seldom = Seldom(logging.getLogger(__name__))

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

    def catalogue_revision(self, tenant_id: TenantId, name: str) -> int | None: ...
    def load_catalogue(self, tenant_id: TenantId, name: str) -> Any: ...
    def code_lengths(self, tenant_id: TenantId) -> dict[str, int]: ...
    def give_codes(self, tenant_id: TenantId, asks: Iterable[Ask], now: int) -> dict[Ask, str | Reason]: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """What was fetched about a tenant before its messages are made."""

    brand: Brand
    catalogues: Mapping[str, ItemTable]
    code_lengths: Mapping[str, int]


class _Message:
    """One request on its way to its answer."""

    __slots__ = ("answer", "content_hash", "coupons", "is_short", "known", "links", "request", "template", "words")

    def __init__(self, request: RenderRequest, template: Template | str, known: _Known, words: Written) -> None:
        self.request = request
        self.template = template
        """Compiled, or why there is none."""
        self.known = known
        self.words = words
        self.coupons = Coupons(known.code_lengths)
        self.answer: Answer = Wanting(request.send_key)
        self.content_hash = ""
        self.is_short = True
        """Whether its links may be short ones."""
        self.links: SignedLinks | None = None


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
        writing: Writing | None = None,
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
        self._stock = Stock(source)
        self._writing = writing
        self._turn = threading.Lock()
        """Held while a message is made. Threads that make some at once hand the interpreter back and forth, and each
        message takes twice the time; those that wait for the control plane hold nobody up."""

    async def render(self, batch: bytes) -> bytes:
        """Render a batch: msgpack of list[RenderRequest] -> msgpack of list[Rendered | NotRendered | Wanting], in the
        same order."""
        requests = decode_requests(batch)
        templates = {key: await self._template(key) for key in dict.fromkeys(map(_key, requests))}
        tenants = {request.tenant for request in requests}
        known = {tenant: await self._known(tenant, requests, templates) for tenant in tenants}
        written = [NOTHING] * len(requests)
        if self._writing is not None and any(request.brief for request in requests):
            brands = {tenant: of.brand.values for tenant, of in known.items()}
            written = await self._writing.write(requests, [templates[_key(one)] for one in requests], brands)
        return await asyncio.to_thread(self._render, requests, templates, known, written)

    async def _known(
        self, tenant: TenantId, requests: list[RenderRequest], templates: Mapping[Key, Template | str]
    ) -> _Known:
        found = (templates[_key(request)] for request in requests if request.tenant == tenant)
        used = {id(one): one for one in found if isinstance(one, Template)}.values()
        names = {pick.catalogue for template in used for pick in template.picks}
        takes_codes = any(template.pools for template in used)
        return _Known(
            await self._brands.of(tenant),
            await self._stock.catalogues(tenant, names),
            await self._stock.code_lengths(tenant) if takes_codes else {},
        )

    def _render(
        self,
        requests: list[RenderRequest],
        templates: Mapping[Key, Template | str],
        known: Mapping[TenantId, _Known],
        written: list[Written],
    ) -> bytes:
        messages = [
            _Message(request, templates[_key(request)], known[request.tenant], words)
            for request, words in zip(requests, written, strict=True)
        ]
        self._make(messages)
        for _ in range(MOST_POOLS):  # a message may ask for another pool because of a code that it got
            waiting = [one for one in messages if one.coupons.asked and isinstance(one.answer, Rendered)]
            if not waiting:
                break
            self._give(waiting)
            self._make(waiting)
        for one in messages:
            if one.coupons.asked and isinstance(one.answer, Rendered):
                reason = f"the template takes codes from more than {MOST_POOLS} pools"
                one.answer = not_rendered(one.request, Reason.TEMPLATE_FAILED, reason)
        taken = self._not_kept([one for one in messages if isinstance(one.answer, Rendered)])
        for one in taken:
            one.is_short = False
        self._make(taken)
        return _encode([self._finished(one) for one in messages])

    def _not_kept(self, messages: list[_Message]) -> list[_Message]:
        """Keep the short links of a batch; return the messages of which another has a code already.

        Raises what the control plane raises: nothing with a link that leads nowhere goes out.
        """
        coded = [(one, one.links.made) for one in messages if isinstance(one.links, CodedLinks) and one.links.made]
        if not coded:
            return []
        now = max(one.request.now for one, _ in coded)
        rows = [
            ShortLink(code, one.request.tenant, one.request.user_key, token, expires_at(one.request.now))
            for one, made in coded
            for code, token in made.items()
        ]
        kept = self._source.keep_short_links(rows, now)
        return [
            one
            for one, made in coded
            if any(not is_same(self._signer, token, kept[code], now) for code, token in made.items())
        ]

    def _make(self, messages: list[_Message]) -> None:
        for message in messages:
            with self._turn:
                self._make_one(message)

    def _make_one(self, of: _Message) -> None:
        """Make a message with a model's words, and without them if that gives none."""
        request, template = of.request, of.template
        if isinstance(template, str):
            of.answer = not_rendered(request, Reason.TEMPLATE_FAILED, template)
            return
        if request.recent is None and template.shows_recent:
            of.answer = Wanting(request.send_key)
            return
        supplies = Supplies(of.known.catalogues, of.coupons)
        brand = of.known.brand
        of.links = self._links(request, brand, is_short=of.is_short)
        answer = render(template, request, of.links, brand.values, supplies, of.words.slots)
        if isinstance(answer, NotRendered) and of.words.slots and self._writing is not None:
            of.words = self._writing.unfit(request, of.words, answer.detail)
            of.links = self._links(request, brand, is_short=of.is_short)
            answer = render(template, request, of.links, brand.values, supplies)
        if isinstance(answer, Rendered):
            # Of the message with placeholders: equal texts have equal hashes, whatever their codes.
            of.content_hash = of.content_hash or answer.content_hash
            answer = msgspec.structs.replace(answer, content_hash=of.content_hash)
        of.answer = answer

    def _finished(self, of: _Message) -> Answer:
        """Return the answer; a message also says where its words come from and what its callbacks refer to."""
        if not isinstance(of.answer, Rendered):
            return of.answer
        origin = Provenance(generation=of.words.record)
        if is_scored(of.request):
            with self._turn:
                found = score(of.request.channel, of.answer.locale, of.answer.parts)
            marks = {name: mark for name, mark in found.marks.items() if mark < 1}
            origin = Provenance(found.score, of.words.record, marks)
        message = msgspec.structs.replace(of.answer, provenance=provenance(origin))
        return self._referred(message, of.request)

    def _give(self, waiting: list[_Message]) -> None:
        """Have codes given to all messages that wait for some, in one transaction a tenant."""
        asks: dict[TenantId, dict[Ask, list[Coupons]]] = {}
        for one in waiting:
            request, mine = one.request, one.coupons
            for pool in sorted(mine.asked):
                ask = Ask(pool, request.campaign, request.user_key)
                asks.setdefault(request.tenant, {}).setdefault(ask, []).append(mine)
            mine.asked.clear()
        now = max(one.request.now for one in waiting)
        for tenant, of_tenant in asks.items():
            for ask, given in self._source.give_codes(tenant, of_tenant, now).items():
                for mine in of_tenant[ask]:
                    if isinstance(given, Reason):
                        mine.refused[ask.pool] = given
                    else:
                        mine.given[ask.pool] = given

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
        except Exception as error:
            _seldom.log(logging.WARNING, "blocks", "blocks stay as they are known, and are looked at again: %r", error)
            return True
        if any(newest.get(name) != at for name, at in held.blocks.items()):
            return False
        held.seen = version
        return True

    def _load(self, key: Key, version: int) -> _Held:
        filled = self._source.filled_template(key[0], self._source.template(*key))
        return _Held(parse_template(filled.body), filled.used, version)

    def _referred(self, answer: Answer, request: RenderRequest) -> Answer:
        """Add to a message what its provider's callbacks will refer to."""
        if self._references is None or not isinstance(answer, Rendered):
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


def is_scored(request: RenderRequest) -> bool:
    """Return whether a message's quality is looked at: each one that a model had to do with, and 1 in SAMPLED."""
    return bool(request.brief) or zlib.crc32(request.send_key.encode()) % SAMPLED == 0


def _key(request: RenderRequest) -> Key:
    return request.tenant, request.template, request.template_version
