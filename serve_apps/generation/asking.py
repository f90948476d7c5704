"""Asks a tenant's generator one question within a deadline, and rules on the answer; it never raises.

    the steps                           where it can end
    an answer that was kept             written
    budget, rate, a free place          over_budget, over_rate, busy
    an endpoint that does not rest      resting
    the model                           late, failed
    the guardrails                      not_the_schema ... leaked_prompt

Whatever ends it, the ruling is counted by tenant (:attr:`Asking.counts`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from serve_apps.generation.allowance import Allowance
from serve_apps.generation.generators import Generator
from serve_apps.generation.kept_answers import KeptAnswers
from whisperer.content.generation.guardrails import Asked, judge
from whisperer.content.generation.record import GenerationRecord
from whisperer.content.generation.ruling import FAILURES, Ruling
from whisperer.ids import TenantId

SEND_DEADLINE_S = 2.0
"""From when a message is to be rendered: then its template's own words stand."""
PERSON_DEADLINE_S = 60.0
"""Where somebody watches the text appear."""
LEAST_S = 0.05
"""With less time left than this, nothing is asked."""
MAX_COUNTED = 1_000
"""Tenants counted by name; all others together."""
CACHED, TOKENS = "cached", "tokens"


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a question: ``slots`` with placeholders, empty unless it is written, and the record of it."""

    slots: Mapping[str, str]
    record: GenerationRecord

    @property
    def is_written(self) -> bool:
        return self.record.ruling == Ruling.WRITTEN


class Asking:
    """Asks for one process. Use from one event loop."""

    def __init__(self, allowance: Allowance, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self._kept = KeptAnswers()
        self.counts: Counter[tuple[str, str]] = Counter()
        """(tenant id, ruling, `cached` or `tokens`) -> how often, or how many."""

    async def ask(
        self,
        tenant: TenantId,
        generator: Generator,
        asked: Asked,
        *,
        within_s: float,
        heard: Callable[[str], Any] | None = None,
        may_keep: bool = True,
        withheld: tuple[str, ...] = (),
    ) -> Story:
        """Ask, and return what became of it.

        ``heard`` gets the model's text piece by piece, before it is judged. Without ``may_keep`` the question is put
        even if it was answered before, and its answer is not kept.
        """
        prompt, settings = asked.prompt, generator.settings
        key = f"{tenant} {settings.base_url} {settings.model} {prompt.digest}"
        began = self._clock()
        record = GenerationRecord(
            ruling="", model=settings.model, prompt_hash=prompt.digest, prompt=prompt.text, withheld=list(withheld)
        )
        if may_keep and (kept := self._kept.get(key, began)) is not None:
            # Judged again: claims or hosts may have been forbidden since, and this user has other values.
            judged = judge(_json(kept), asked)
            self.count(tenant, judged.ruling)
            self.count(tenant, CACHED)
            output = _json(kept)
            return Story(
                judged.slots, _with(record, ruling=judged.ruling, detail=judged.detail, output=output, cached=True)
            )
        ruling, detail, answer, tokens = await self._answer(tenant, generator, asked, began + within_s, heard)
        slots: Mapping[str, str] = {}
        if ruling is None:
            judged = judge(answer, asked)
            ruling, detail, slots = judged.ruling, judged.detail, judged.slots
        self._note(generator, ruling)
        if may_keep and slots:
            self._kept.put(key, slots, self._clock())
        self.count(tenant, ruling)
        ms = round((self._clock() - began) * 1000)
        return Story(slots, _with(record, ruling=ruling, detail=detail, output=answer, ms=ms, tokens=tokens))

    def count(self, tenant: TenantId, what: str, n: int = 1) -> None:
        """Count something of a tenant."""
        is_many = len(self.counts) >= MAX_COUNTED * 8 and (tenant, what) not in self.counts
        self.counts[TenantId("") if is_many else tenant, str(what)] += n

    async def _answer(
        self,
        tenant: TenantId,
        generator: Generator,
        asked: Asked,
        until: float,
        heard: Callable[[str], Any] | None,
    ) -> tuple[Ruling | None, str, str, int]:
        """Return why nothing is to be judged, if so, with a detail; the answer; its tokens."""
        from serve_apps.generation.endpoint import UnansweredError, guessed  # loads `openai`: a generator has done that

        prompt = asked.prompt
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                if (refusal := await self._allowance.take(tenant, generator.settings)) is not None:
                    return refusal, "", "", 0
                await generator.at_once.acquire()
        except TimeoutError:
            return Ruling.BUSY, "no place was free before the deadline", "", 0
        try:
            left_s = until - self._clock()
            if left_s < LEAST_S:
                return Ruling.BUSY, "no place was free before the deadline", "", 0
            if not generator.breaker.may_ask(self._clock()):
                return Ruling.RESTING, "", "", 0
            pieces: list[str] = []

            def hear(piece: str) -> None:
                pieces.append(piece)
                if heard is not None:
                    heard(piece)

            try:
                found = await generator.endpoint.stream(prompt, left_s, hear)
            except UnansweredError as error:
                # What an endpoint wrote before it broke off is paid for.
                written = "".join(pieces)
                tokens = guessed(prompt, written)
                self._spend(tenant, tokens)
                return (Ruling.LATE if error.is_late else Ruling.FAILED), error.why, written, tokens
            except BaseException:
                generator.breaker.let_go()
                raise
            self._spend(tenant, found.tokens)
            return None, "", found.text, found.tokens
        finally:
            generator.at_once.release()

    def _spend(self, tenant: TenantId, tokens: int) -> None:
        self._allowance.spent(tenant, tokens)
        self.count(tenant, TOKENS, tokens)

    def _note(self, generator: Generator, ruling: Ruling) -> None:
        if ruling in FAILURES:
            generator.breaker.failed(self._clock())
        elif ruling not in (Ruling.OVER_BUDGET, Ruling.OVER_RATE, Ruling.BUSY, Ruling.RESTING):
            generator.breaker.succeeded()


def _with(record: GenerationRecord, **changes: Any) -> GenerationRecord:
    return msgspec.structs.replace(record, **changes)


def _json(slots: Mapping[str, str]) -> str:
    return msgspec.json.encode(slots).decode()
