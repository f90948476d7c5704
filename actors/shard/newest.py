"""Say what is newest of a tenant for whoever analyses its events, without reading or writing anything for it.

The events themselves are read from the journal's files by those who ask (:mod:`actors.warehouse.tail`). Where they
cannot do that, because the journal is no file or on another machine, or where it would be much, the warehouse is
brought up to date first; such flushes are shared and bounded (:mod:`.flushing`). Guarantees: what was acknowledged
before the call is before the position that is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from actors.calls.shard_tail import ShardTail
from actors.journal import FileJournal
from actors.shard.commit import Committer
from actors.warehouse.export import SLICE_S
from whisperer.ids import TenantId
from whisperer.ports import Journal
from whisperer.shard.machine import Shard

MOST_BYTES = 64 << 20
"""Of a journal that whoever asks has to read."""
MOST_MASKS = 5_000
"""Blocks with repeats."""


class Newest:
    """Answer for one shard. ``flush`` exports everything; ``exported`` returns up to where that is known to be done."""

    def __init__(
        self,
        shard: Shard,
        journal: Journal,
        committer: Committer,
        flush: Callable[[], Awaitable[None]],
        exported: Callable[[], int | None],
    ) -> None:
        self._shard = shard
        self._journal = journal
        self._committer = committer
        self._flush = flush
        self._exported = exported

    async def of(self, tenant: TenantId, can_read: bool) -> ShardTail:
        """Return what is newest; ``can_read`` if whoever asks reads files of this machine."""
        folder = str(self._journal.folder) if can_read and isinstance(self._journal, FileJournal) else ""
        if not folder or self._is_much():
            await self._flush()
        repeats: dict[int, bytes] = {}
        end = self._committer.applied_end
        held = self._shard.tenants.get(tenant)
        erasing = dict(held.erasing) if held is not None else {}
        counted, erased = (0, 0) if held is None else (int(held.sequence.sum()), len(held.tombstones))
        began = time.perf_counter()
        for position, mask in list(self._shard.repeats.items()) if folder else ():
            if position < end:
                repeats[position] = mask.tobytes()
            if time.perf_counter() - began > SLICE_S:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return ShardTail(
            shard=self._shard.id,
            folder=folder,
            end=end,
            repeats=repeats,
            erasing=erasing,
            version=(counted, erased, len(erasing)),
        )

    def _is_much(self) -> bool:
        before = self._exported()
        from_ = self._journal.oldest if before is None else before
        return self._committer.applied_end - from_ > MOST_BYTES or len(self._shard.repeats) > MOST_MASKS
