"""From a timeline entry back to the event's JSON: in memory while recent, else in the journal, then in the warehouse.

The blocks of the last `RECENT_BYTES` stay in memory as they came, so that a profile shows its newest events at once.
Older ones cost a read and a check of their whole block, or a question to the warehouse: asked for, not given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from actors.warehouse import DATASETS, Warehouse
from actors.warehouse.datasets import EVENTS
from actors.warehouse.reader import StoredEvent
from whisperer.events.block import EventBlock, decode_block, message_id_of
from whisperer.events.block import Payloads as Unpacked
from whisperer.ports import Journal
from whisperer.profiles.timeline import unpack_reference
from whisperer.shard.records import Events, decode_record

RECENT_BYTES = 32 << 20
"""About 70,000 events of 450 bytes, a shard."""


class Payloads:
    """:meth:`recent` answers from memory; the other methods block: run them in a thread."""

    def __init__(self, journal: Journal, warehouse: Warehouse, shard_id: int) -> None:
        self._journal = journal
        self._warehouse = warehouse
        self._shard = shard_id
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._recent_bytes = 0

    def remember(self, position: int, block: bytes) -> None:
        """A block was applied; the oldest make room for it."""
        self._recent[position] = block
        self._recent_bytes += len(block)
        while self._recent_bytes > RECENT_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest)

    def recent(self, tenant: str, references: list[int]) -> list[dict[str, Any] | None]:
        """The events at these references as far as they are in memory, in order."""
        blocks: dict[int, EventBlock | None] = {}
        found: list[dict[str, Any] | None] = []
        for reference in references:
            position, index = unpack_reference(reference)
            if position not in blocks:
                encoded = self._recent.get(position)
                blocks[position] = None if encoded is None else decode_block(encoded)
            block = blocks[position]
            mine = block is not None and block.tenant == tenant and index < len(block)
            found.append(_from_block(block, index) if mine and block is not None else None)
        return found

    def read(self, tenant: str, references: list[int]) -> list[dict[str, Any] | None]:
        """The events at these references, in order; None where neither place has one of this tenant."""
        found: dict[int, dict[str, Any]] = {}
        missing: list[tuple[int, int]] = []
        blocks: dict[int, EventBlock | None] = {}
        for reference in references:
            position, index = unpack_reference(reference)
            if position not in blocks:
                blocks[position] = self._block(position)
            block = blocks[position]
            if block is None:
                missing.append((position, index))
            elif block.tenant == tenant and index < len(block):
                found[reference] = _from_block(block, index)
        if missing:
            for stored in self._warehouse.lookup(tenant, self._shard, missing):
                if stored is not None:
                    found[(stored.lsn << 16) | stored.index] = _from_row(stored)
        return [found.get(reference) for reference in references]

    def all_of(self, tenant: str, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Every exported event of these keys, oldest first."""
        return [_from_row(row) for row in self._warehouse.read_events(tenant, list(keys))]

    def logged(self, tenant: str, keys: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Every exported row of these keys but the events, by data set."""
        return {name: self._warehouse.read_log(tenant, name, keys) for name in DATASETS if name != EVENTS.name}

    def _block(self, position: int) -> EventBlock | None:
        data = self._journal.read(position)
        if data is None:
            return None
        body = decode_record(data).body
        return decode_block(body.block) if isinstance(body, Events) else None


def _from_block(block: EventBlock, index: int) -> dict[str, Any]:
    return {
        "message_id": message_id_of(block, index),
        "received_at": int(block.events()["received"][index]),
        "payload": Unpacked(block)[index],
    }


def _from_row(row: StoredEvent) -> dict[str, Any]:
    return {
        "message_id": row.message_id,
        "received_at": row.received_at,
        "timestamp": row.timestamp,
        "type": row.type,
        "event": row.event,
        "user_key": row.user_key,
        "payload": row.payload.encode(),
    }
