"""Answers questions about a tenant's events: as jobs, over the warehouse and what the shards have that is newer.

Everything acknowledged before a question came is in its answer. An answer is kept for as long as nothing of the
tenant's was counted or erased, and for :data:`KEPT_S` at most, because some questions mean "until now".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from actors.calls.shard_tail import ShardTail
from actors.calls.shards import ShardCalls
from actors.jobs import Analysis, Jobs
from whisperer.analytics.answers import (
    Answer,
    FunnelAnswer,
    LifecycleAnswer,
    RetentionAnswer,
    StickinessAnswer,
    TrendsAnswer,
)
from whisperer.analytics.questions import Funnel, Lifecycle, Question, Retention, Stickiness, Trends, check
from whisperer.ids import TenantId

KEPT_S = 60.0
MOST_KEPT = 256
MOST_KEPT_OF_ONE = 32
MOST_KEPT_BYTES = 1 << 20
"""A larger answer is not kept."""
NEWEST_S = 20.0
"""How long shards are waited for."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_ANSWERS: dict[type[Question], type[Answer]] = {
    Trends: TrendsAnswer,
    Funnel: FunnelAnswer,
    Retention: RetentionAnswer,
    Lifecycle: LifecycleAnswer,
    Stickiness: StickinessAnswer,
}


class Analytics:
    """Answers for a gateway. Use from one event loop. ``warehouse``: its URI."""

    def __init__(
        self,
        shards: ShardCalls,
        jobs: Jobs,
        warehouse: str,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._shards = shards
        self._jobs = jobs
        self._warehouse = warehouse
        self._clock = clock
        self._kept: dict[tuple[TenantId, bytes], tuple[Any, int, bytes]] = {}

    async def answer(self, tenant: TenantId, question: Question) -> bytes:
        """Return the answer as JSON. Raises QuestionError, UnavailableError, and what :class:`Jobs` raises."""
        now = self._clock()
        check(question, now)
        turn = self._jobs.join(Analysis, tenant)
        try:
            tails = await self._shards.newest(tenant, timeout_s=NEWEST_S)
            place, version = (tenant, _encode(question)), _version(tails)
            kept = self._kept.get(place)
            if kept is not None and kept[0] == version and now - kept[1] < KEPT_S * 1000:
                turn.leave()
                return kept[2]
        except BaseException:
            turn.leave()
            raise
        found = await self._jobs.ask(Analysis(self._warehouse, tenant, question, now, tails), turn)
        self._keep(place, (version, now, found))
        return found

    async def read(self, tenant: TenantId, question: Question) -> Answer:
        """Return the answer as a value; raises like :meth:`answer`."""
        found = await self.answer(tenant, question)
        decoded: Answer = await asyncio.to_thread(msgspec.json.decode, found, type=_ANSWERS[type(question)])
        return decoded

    def _keep(self, place: tuple[TenantId, bytes], kept: tuple[Any, int, bytes]) -> None:
        """Keep an answer; a tenant's many questions do not displace another's."""
        if len(kept[2]) > MOST_KEPT_BYTES:
            return
        self._kept.pop(place, None)
        mine = [one for one in self._kept if one[0] == place[0]]
        for oldest in mine[: max(0, len(mine) + 1 - MOST_KEPT_OF_ONE)]:
            del self._kept[oldest]
        self._kept[place] = kept
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))


def _version(tails: list[ShardTail]) -> tuple[tuple[int, ...], ...]:
    return tuple(sorted((tail.shard, *tail.version) for tail in tails))
