"""Find the event's JSON for a timeline entry: in memory while recent, otherwise in the journal.

The blocks of the last `RECENT_BYTES` stay in memory as they came, so that a profile shows its newest events at once;
those that were looked into last stay unpacked. Older ones cost reading and checking a whole block, so they are read
only on request. What the journal has let go of is in the warehouse, which no shard reads for a caller
(:mod:`actors.jobs`).
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from whisperer.events.block import Payloads as Unpacked
from whisperer.events.decoding import held_bytes, readable
from whisperer.ids import TenantId
from whisperer.ports import Journal
from whisperer.profiles.timeline import unpack_reference
from whisperer.shard.records import Events, decode_record
from whisperer.shard.views.user import EventView

RECENT_BYTES = 32 << 20
"""About 70,000 events of 450 bytes, per shard."""
UNPACKED_BYTES = 16 << 20
"""Of blocks kept unpacked, per shard."""


class Payloads:
    """Return events' JSON: :meth:`recent` from memory; :meth:`read` blocks, so run it in a thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._recent_bytes = 0
        self._unpacked: OrderedDict[int, tuple[Unpacked, int]] = OrderedDict()
        """With their bytes, the one looked into last at the end."""
        self._unpacked_bytes = 0

    def remember(self, position: int, block: bytes) -> None:
        """Keep a block that was applied; the oldest ones make room for it."""
        self._recent[position] = block
        self._recent_bytes += len(block)
        while self._recent_bytes > RECENT_BYTES:
            gone, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest)
            self._forget(gone)

    def recent(self, tenant: TenantId, references: Sequence[int]) -> list[EventView | None]:
        """Return the events at these references, in order; None for those not in memory."""
        found: dict[int, EventView] = {}
        for position, indices in _by_block(references):
            block = self._recent_block(position)
            if block is not None:
                found |= _events(block, tenant, indices)
        return [found.get(reference) for reference in references]

    def read(self, tenant: TenantId, references: Sequence[int]) -> list[EventView | None]:
        """Return the events at these references, in order; None where memory and journal have none of this tenant.

        Holds one block at a time, however many are asked for.
        """
        found: dict[int, EventView] = {}
        for position, indices in _by_block(references):
            block = self._block(position)
            if block is not None:
                found |= _events(block, tenant, indices)
        return [found.get(reference) for reference in references]

    def _recent_block(self, position: int) -> Unpacked | None:
        known = self._unpacked.get(position)
        if known is not None:
            self._unpacked.move_to_end(position)
            return known[0]
        encoded = self._recent.get(position)
        if encoded is None:
            return None
        block, size = readable(encoded), held_bytes(encoded)
        self._unpacked[position] = block, size
        self._unpacked_bytes += size
        while self._unpacked_bytes > UNPACKED_BYTES:
            self._forget(next(iter(self._unpacked)))
        return block

    def _forget(self, position: int) -> None:
        _, size = self._unpacked.pop(position, (None, 0))
        self._unpacked_bytes -= size

    def _block(self, position: int) -> Unpacked | None:
        data = self._journal.read(position)
        if data is None:
            return None
        body = decode_record(data).body
        return readable(body.block) if isinstance(body, Events) else None


def _by_block(references: Iterable[int]) -> Iterator[tuple[int, dict[int, int]]]:
    """Yield the position of each block with the references to it by the event's index there."""
    blocks: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for reference in references:
        position, index = unpack_reference(reference)
        blocks[position][index] = reference
    yield from blocks.items()


def _events(block: Unpacked, tenant: TenantId, indices: dict[int, int]) -> dict[int, EventView]:
    """Return by reference what a block has, if it is of this tenant."""
    form = block.block
    if form.tenant != tenant:
        return {}
    there = [index for index in indices if index < len(form)]
    rows = form.events()[np.array(there, np.intp)]
    starts = (rows["text_at"] + rows["key_bytes"]).tolist()
    lengths, received = rows["message_bytes"].tolist(), rows["received"].tolist()
    return {
        indices[index]: EventView(form.text[start : start + length].decode(), at, block[index])
        for index, start, length, at in zip(there, starts, lengths, received, strict=True)
    }
