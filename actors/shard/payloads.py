"""Find the event's JSON for a timeline entry: in memory while recent, otherwise in the journal.

The blocks of the last `RECENT_BYTES` stay in memory as they came, so that a profile shows its newest events at once.
Older ones cost reading and checking a whole block, so they are read only on request. What the journal has let go of is
in the warehouse, which no shard reads for a caller (:mod:`actors.jobs`).
"""

from __future__ import annotations

from collections import OrderedDict

from whisperer.events.block import EventBlock, message_id_of
from whisperer.events.block import Payloads as Unpacked
from whisperer.events.decoding import decode_block
from whisperer.ids import TenantId
from whisperer.ports import Journal
from whisperer.profiles.timeline import unpack_reference
from whisperer.shard.records import Events, decode_record
from whisperer.shard.views.user import EventView

RECENT_BYTES = 32 << 20
"""About 70,000 events of 450 bytes, per shard."""


class Payloads:
    """Return events' JSON: :meth:`recent` from memory; :meth:`read` blocks, so run it in a thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._recent_bytes = 0

    def remember(self, position: int, block: bytes) -> None:
        """Keep a block that was applied; the oldest ones make room for it."""
        self._recent[position] = block
        self._recent_bytes += len(block)
        while self._recent_bytes > RECENT_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest)

    def recent(self, tenant: TenantId, references: list[int]) -> list[EventView | None]:
        """Return the events at these references, in order; None for those not in memory."""
        blocks: dict[int, EventBlock | None] = {}
        found: list[EventView | None] = []
        for reference in references:
            position, index = unpack_reference(reference)
            if position not in blocks:
                encoded = self._recent.get(position)
                blocks[position] = None if encoded is None else decode_block(encoded)
            block = blocks[position]
            mine = block is not None and block.tenant == tenant and index < len(block)
            found.append(_from_block(block, index) if mine and block is not None else None)
        return found

    def read(self, tenant: TenantId, references: list[int]) -> list[EventView | None]:
        """Return the events at these references, in order; None where memory and journal have none of this tenant.

        Holds one block at a time, however many are asked for.
        """
        by_block: dict[int, list[int]] = {}
        for reference in references:
            by_block.setdefault(unpack_reference(reference)[0], []).append(reference)
        found: dict[int, EventView] = {}
        for position, of_block in by_block.items():
            block = self._block(position)
            if block is None or block.tenant != tenant:
                continue
            for reference in of_block:
                index = unpack_reference(reference)[1]
                if index < len(block):
                    found[reference] = _from_block(block, index)
        return [found.get(reference) for reference in references]

    def _block(self, position: int) -> EventBlock | None:
        data = self._journal.read(position)
        if data is None:
            return None
        body = decode_record(data).body
        return decode_block(body.block) if isinstance(body, Events) else None


def _from_block(block: EventBlock, index: int) -> EventView:
    return EventView(message_id_of(block, index), int(block.events()["received"][index]), Unpacked(block)[index])
