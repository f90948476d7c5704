"""Has a batch's messages written by their tenants' generators, where their arms have a brief.

All questions of a batch go out at once and share one deadline, `SEND_DEADLINE_S` from its start: a batch is rendered at
most that much later than without a model. A message whose text is refused, late, or impossible gets its template's own
words, and its record says why. Rendering may happen again after a crash, and then a question is asked again unless its
answer is kept; the message that is sent, once, is the one that the shard's receipt names with its content hash.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from serve_apps.generation.asking import SEND_DEADLINE_S, Asking
from serve_apps.generation.generators import Generator, Generators
from whisperer.content.generation.brief import Brief
from whisperer.content.generation.guardrails import Asked
from whisperer.content.generation.private import gather
from whisperer.content.generation.prompt import ask_for
from whisperer.content.generation.record import GenerationRecord
from whisperer.content.generation.ruling import Ruling
from whisperer.content.generation.slots import slots
from whisperer.content.locales import lookup
from whisperer.content.message import RenderRequest
from whisperer.content.template import Template
from whisperer.content.variables import variables_of
from whisperer.ids import TenantId

MAX_SLOTS_KEPT = 2_048

_read_brief = msgspec.json.Decoder(Brief).decode


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for one message, with the user's values in it, and the record of how it came about."""

    slots: Mapping[str, str]
    record: GenerationRecord | None = None


NOTHING = Written({})


class Writing:
    """Writes for one replica. Use from one event loop."""

    def __init__(self, generators: Generators, asking: Asking) -> None:
        self._generators = generators
        self._asking = asking
        self._slots: OrderedDict[tuple[TenantId, str, int, str, int], dict[str, int]] = OrderedDict()

    async def write(
        self,
        requests: Sequence[RenderRequest],
        templates: Sequence[Template | str],
        brands: Mapping[TenantId, Mapping[str, str]],
        within_s: float = SEND_DEADLINE_S,
    ) -> list[Written]:
        """Return what was written for each request, in order; NOTHING for those without a brief."""
        until = asyncio.get_running_loop().time() + within_s
        return await asyncio.gather(
            *(
                self._one(request, template, brands[request.tenant], until)
                for request, template in zip(requests, templates, strict=True)
            )
        )

    async def _one(
        self, request: RenderRequest, template: Template | str, brand: Mapping[str, str], until: float
    ) -> Written:
        if not request.brief or isinstance(template, str):
            return NOTHING
        try:
            brief = _read_brief(request.brief)
        except msgspec.MsgspecError:
            return self._ruled(request, Ruling.NOT_SET_UP, "the brief is of a later release")
        generator = await self._generators.of(request.tenant)
        if generator is None or not generator.settings.at_send_time:
            return self._ruled(request, Ruling.NOT_SET_UP)
        locale = lookup(request.locale, template.locales, template.default_locale)
        wanted = self._slots_of(request, template, locale, brief.max_chars)
        if not wanted:
            return self._ruled(request, Ruling.NO_SLOTS)
        left_s = until - asyncio.get_running_loop().time()
        return await self._asked(request, template, brand, generator, brief, locale, wanted, left_s)

    async def _asked(
        self,
        request: RenderRequest,
        template: Template,
        brand: Mapping[str, str],
        generator: Generator,
        brief: Brief,
        locale: str,
        wanted: dict[str, int],
        left_s: float,
    ) -> Written:
        facts, private = gather(brief.facts, variables_of(request, template.defaults, locale, "", brand))
        prompt = ask_for(private.hidden(brief.text), generator.voice, locale, wanted, facts)
        asked = Asked(prompt, generator.voice, locale, private, template.hosts)
        story = await self._asking.ask(request.tenant, generator, asked, within_s=left_s, withheld=facts.withheld)
        restored = {name: private.restored(text) for name, text in story.slots.items()}
        return Written(restored, story.record)

    def unfit(self, request: RenderRequest, written: Written, why: str) -> Written:
        """Return what stands for a text with which the message could not be sent."""
        self._asking.count(request.tenant, Ruling.UNFIT_MESSAGE)
        assert written.record is not None
        return Written({}, msgspec.structs.replace(written.record, ruling=Ruling.UNFIT_MESSAGE, detail=why))

    def _ruled(self, request: RenderRequest, ruling: Ruling, detail: str = "") -> Written:
        self._asking.count(request.tenant, ruling)
        return Written({}, GenerationRecord(ruling=ruling, detail=detail))

    def _slots_of(self, request: RenderRequest, template: Template, locale: str, max_chars: int) -> dict[str, int]:
        key = (request.tenant, request.template, request.template_version, locale, max_chars)
        if key not in self._slots:
            self._slots[key] = slots(template, locale, max_chars)
            while len(self._slots) > MAX_SLOTS_KEPT:
                self._slots.popitem(last=False)
        return self._slots[key]
