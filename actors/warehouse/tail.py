"""Read the newest events of one tenant out of the shards' journals: what no export has brought to the warehouse yet.

A shard only says up to where its journal is applied and which events there did not count; whoever asks reads the files,
by the code that exports them, from where the warehouse's catalog ends. So no event is in both or in neither: the
catalog is read after the shards were asked, and a shard forgets what it knows of a position only once that is exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from actors.calls.shard_tail import ShardTail
from actors.journal.segment import records_between
from actors.warehouse.export import Known, export_records
from actors.warehouse.rows import SCHEMA, ExportRecord, rows_of
from whisperer.events.decoding import tenant_of
from whisperer.ids import TenantId
from whisperer.shard.records import Events, decode_record


def rows_after(tails: list[ShardTail], cursors: Mapping[int, int], tenant: TenantId) -> pa.Table:
    """Return the tenant's counted events from the cursors (shard -> position) to the tails' ends, as in the warehouse.

    Raises JournalDamagedError or FileNotFoundError where a journal was trimmed meanwhile: it is exported, ask again.
    """
    tables = []
    for tail in tails:
        first = cursors.get(tail.shard)
        if not tail.folder or (first is not None and first >= tail.end):
            continue
        known = Known(tail.shard, tail.repeats, {}, {})
        records = _of_tenant(records_between(Path(tail.folder), first, tail.end), tenant)
        for record in export_records(known, records):
            if isinstance(record, ExportRecord):
                tables.append(rows_of(record, tail.shard))
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def _of_tenant(records: Iterator[tuple[int, bytes]], tenant: TenantId) -> Iterator[tuple[int, bytes]]:
    for position, data in records:
        body = decode_record(data).body
        if isinstance(body, Events) and tenant_of(body.block) == tenant:
            yield position, data
