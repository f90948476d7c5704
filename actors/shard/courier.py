"""Carry letters between partitions: in order and without gaps per pair, confirmed once the target has them.

A :class:`~whisperer.shard.records.Letter` stays in the shard's state until it is confirmed.
What waits here are these letters in sending order, in one queue per pair (tenant, source, target). One worker per
target shard takes from the pairs whose home is that shard at the moment, wherever it was when the letter came, so
that a dead shard holds up only those who write to it.

Guarantees: a pair has at most one batch under way, and a letter leaves its queue only when the target says that it has
it: nothing overtakes and nothing is confirmed that was not applied, whoever fetches the map meanwhile. What a restart
or a move of the source could still put out of order, the target refuses (:mod:`actors.shard.letterbox`); the pair is
then queued again from the shard's state.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from actors.calls.shards import CallStatus, ShardCalls
from actors.shard.letterbox import LetterFate, letter_bytes
from actors.telemetry.logs import Seldom
from whisperer.errors import UnavailableError
from whisperer.ids import Partition, TenantId
from whisperer.shard.records import Letter

_log = logging.getLogger("whisperer.shard")

MAX_BATCH = 500
MAX_BATCH_BYTES = 1 << 20
"""A batch has at least one letter, however large."""
RETRY_S = 0.2

Pair = tuple[TenantId, Partition, Partition]
"""Tenant, source partition, target partition."""
Answer = tuple[str, Sequence[str] | None]
"""As returned by :meth:`actors.shard.letterbox.Letterbox.take`."""
Take = Callable[[list[Letter]], Awaitable[Answer]]
Confirm = Callable[[list[tuple[TenantId, Partition, int]]], Awaitable[None]]


class Courier:
    """Carry the unconfirmed letters of a shard. Use from one event loop.

    ``take_here`` takes letters whose target lives on this shard; ``confirm`` journals what arrived; ``unconfirmed``
    returns the shard's letters in sending order.
    """

    def __init__(
        self,
        shard: int,
        shards: ShardCalls,
        unconfirmed: Callable[[], Iterable[Letter]],
        take_here: Take,
        confirm: Confirm,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._unconfirmed = unconfirmed
        self._take_here = take_here
        self._confirm = confirm
        self._has_begun = False
        self._waiting: dict[Pair, deque[Letter]] = {}
        self._lines: dict[int, dict[Pair, None]] = {}
        """By target shard, the pairs to go there next, in order."""
        self._held: set[Pair] = set()
        """Pairs in no line: a batch of theirs is under way, or was refused a moment ago."""
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._refreshed_at = 0.0
        self._seldom = Seldom(_log)

    @property
    def n_waiting(self) -> int:
        """Letters that are not confirmed yet."""
        return sum(map(len, self._waiting.values()))

    def begin(self) -> None:
        """Queue the shard's letters, once the map is known: those sent before a restart are among them."""
        self._has_begun = True
        for letter in self._unconfirmed():
            self.send(letter)

    def send(self, letter: Letter) -> None:
        """Carry a letter after those before it. One that is already queued keeps its place."""
        if not self._has_begun:
            return
        pair = (letter.tenant, letter.source, letter.target)
        waiting = self._waiting.get(pair)
        if waiting is None:
            waiting = self._waiting[pair] = deque()
        elif waiting and letter.sequence <= waiting[-1].sequence:
            return
        waiting.append(letter)
        if pair not in self._held:
            self._line_up(pair)

    async def close(self) -> None:
        """Stop carrying letters; what is not confirmed stays in the shard's state."""
        self._has_begun = False
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _home(self, pair: Pair) -> int:
        return self._shards.places.table(pair[0])[pair[2]]

    def _line_up(self, pair: Pair) -> None:
        target = self._home(pair)
        self._lines.setdefault(target, {})[pair] = None
        worker = self._workers.get(target)
        if worker is None or worker.done():
            self._workers[target] = asyncio.ensure_future(self._work(target))

    async def _work(self, target: int) -> None:
        line = self._lines[target]
        while line:
            batch = self._next(target)
            if not batch:
                continue
            letters = [letter for of_pair in batch.values() for letter in of_pair]
            fates = await self._carry(target, letters)
            if fates is None:  # the shard took none of them
                await asyncio.sleep(RETRY_S)
                await self._refresh()
                self._release(batch)
                continue
            taken = [letter for letter, fate in zip(letters, fates, strict=True) if fate == LetterFate.TAKEN]
            self._mend_gaps([letter for letter, fate in zip(letters, fates, strict=True) if fate == LetterFate.GAP])
            refused = self._settle(batch, {(one.tenant, one.source, one.target): one.sequence for one in taken})
            if taken:
                await self._confirm([(letter.tenant, letter.source, letter.sequence) for letter in taken])
            if refused:
                asyncio.get_running_loop().call_later(RETRY_S, self._release, refused)
                await self._refresh()

    def _next(self, target: int) -> dict[Pair, list[Letter]]:
        """Take the oldest letters of the pairs in line, each pair's in order; may return none.

        Pairs whose home has changed line up there.
        """
        line = self._lines[target]
        batch: dict[Pair, list[Letter]] = {}
        n, size = 0, 0
        while line and n < MAX_BATCH and size < MAX_BATCH_BYTES:
            pair = next(iter(line))
            del line[pair]
            if self._home(pair) != target:
                self._line_up(pair)
                continue
            letters = batch[pair] = []
            self._held.add(pair)
            for letter in self._waiting[pair]:
                if n == MAX_BATCH or size >= MAX_BATCH_BYTES:
                    break
                letters.append(letter)
                n += 1
                size += letter_bytes(letter)
        return batch

    async def _carry(self, target: int, letters: list[Letter]) -> Sequence[str] | None:
        """Return the fate of each letter; None where the shard took none because it is away or busy."""
        try:
            if target == self._shard:
                status, fates = await self._take_here(letters)
            else:
                status, fates = await self._shards.call(
                    target, "take_letters", self._shards.places.current.version, letters
                )
        except UnavailableError:
            return None
        except Exception:
            self._seldom.log(
                logging.ERROR,
                "not delivered",
                "letters to shard %d could not be delivered; trying again",
                target,
                exc_info=True,
            )
            return None
        return fates if status == CallStatus.OK else None

    def _mend_gaps(self, gaps: list[Letter]) -> None:
        if gaps:
            self._queue_again({(letter.tenant, letter.source, letter.target) for letter in gaps})
            first = gaps[0]
            self._seldom.log(
                logging.WARNING,
                "gap",
                "partition %d of %s lacks what partition %d sent it before letter %d: all is sent again in order",
                first.target,
                first.tenant,
                first.source,
                first.sequence,
            )

    def _queue_again(self, pairs: set[Pair]) -> None:
        """Replace these pairs' queues with the shard's letters, in sending order."""
        for pair in pairs:
            self._waiting[pair] = deque()
        for letter in self._unconfirmed():
            pair = (letter.tenant, letter.source, letter.target)
            if pair in pairs:
                self._waiting[pair].append(letter)

    def _settle(self, batch: dict[Pair, list[Letter]], reached: dict[Pair, int]) -> list[Pair]:
        """Remove from each pair's queue what arrived, up to a sequence; return the pairs that had letters refused."""
        refused = []
        for pair, letters in batch.items():
            waiting, at = self._waiting[pair], reached.get(pair, 0)
            while waiting and waiting[0].sequence <= at:
                waiting.popleft()
            if letters[-1].sequence <= at:
                self._release([pair])
            else:
                refused.append(pair)
        return refused

    def _release(self, pairs: Iterable[Pair]) -> None:
        """Allow whatever is queued of these pairs to go."""
        for pair in pairs:
            self._held.discard(pair)
            if not self._waiting[pair]:
                del self._waiting[pair]
            elif self._has_begun:
                self._line_up(pair)

    async def _refresh(self) -> None:
        """Fetch the map, at most once per `RETRY_S`."""
        now = asyncio.get_running_loop().time()
        if now - self._refreshed_at >= RETRY_S:
            self._refreshed_at = now
            try:
                await self._shards.places.refresh()
            except UnavailableError:
                return
