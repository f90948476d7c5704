"""Brings closed journal segments into the warehouse, exactly once, and takes erased users out of it.

One exporter a shard, run by the shard actor. A range is a closed segment: its bounds never change, so an export that a
crash interrupted is done again over the same rows. Events that did not count, and those of users erased since, are
left out. What the shard logged at the range's positions goes along in the same commit; of users erased since, under a
pseudonym.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from actors.warehouse import ExportRecord, LogRecord, Warehouse
from whisperer.events.block import decode_block, keys_of
from whisperer.ports import Journal
from whisperer.shard.log import LogRow
from whisperer.shard.machine import Shard
from whisperer.shard.records import Events, decode_record

_log = logging.getLogger(__name__)


class Exporter:
    """Methods block; run them in a thread that is not the journal's."""

    def __init__(self, shard: Shard, journal: Journal, warehouse: Warehouse) -> None:
        self._shard = shard
        self._journal = journal
        self._warehouse = warehouse
        self.n_rows = 0

    def exported(self) -> int:
        """Position up to which the warehouse has everything."""
        cursor = self._warehouse.exported(self._shard.id)
        return self._journal.oldest if cursor is None else cursor

    def export(self) -> int:
        """Export every closed segment that is not in the warehouse yet; the position reached."""
        cursor = self.exported()
        for segment in self._journal.segments():
            if not segment.closed or segment.end <= cursor:
                continue
            done = self._warehouse.export(
                self._shard.id, segment.start, segment.end, self._records(segment.start, segment.end)
            )
            self.n_rows += done.n_rows
            cursor = segment.end
        return cursor

    def erase(self, tenant: str, keys: list[str]) -> int:
        """Take these users out of every file; how many rows were theirs."""
        return self._warehouse.erase(tenant, keys)

    def _records(self, start: int, stop: int) -> Iterator[ExportRecord | LogRecord]:
        for position, data in self._journal.replay(start, stop):
            logged = self._shard.log.get(position)
            if logged:
                yield LogRecord(position, logged, {n for n, row in enumerate(logged) if self._is_erased(row)})
            body = decode_record(data).body
            if not isinstance(body, Events):
                continue
            block = decode_block(body.block)
            counted = self._shard.repeats.get(position)
            if counted is None:
                counted = np.ones(len(block), np.bool_)
            tenant = self._shard.tenants.get(block.tenant)
            if tenant is not None and tenant.tombstones:
                timestamp = block.events()["timestamp"]
                counted = counted.copy()
                for i, key in enumerate(keys_of(block)):
                    erased_at = tenant.erased_at(key)
                    if erased_at is not None and timestamp[i] <= erased_at:
                        counted[i] = False
            yield ExportRecord(position, block, counted)

    def _is_erased(self, row: LogRow) -> bool:
        tenant = self._shard.tenants.get(row.tenant)
        erased_at = None if tenant is None else tenant.erased_at(row.user_key)
        return erased_at is not None and row.at <= erased_at
