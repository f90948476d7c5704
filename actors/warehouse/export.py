"""Export closed journal segments to the warehouse, exactly once, without users who were erased.

Each shard actor runs one exporter. A range is a closed segment: its bounds never change, so an export that a crash
interrupted is repeated over the same rows. Events that did not count, and those of users erased since, are left out as
far as this shard knows of them: what was journaled at a partition's former home is exported first, and rewritten later
(:mod:`actors.shard.housekeeping`). What the shard logged at the range's positions goes into the same commit, with users
erased since under a pseudonym. What the records do not say about that is a value, :class:`Known`, so the work needs no
shard at hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from actors.warehouse import Exported, ExportRecord, LogRecord, Warehouse
from whisperer.events.block import keys_of
from whisperer.events.decoding import decode_block
from whisperer.ids import TenantId, message_hash
from whisperer.ports import Journal
from whisperer.shard.machine import Shard
from whisperer.shard.records import Events, decode_record
from whisperer.shard.state.log import LogRow

SLICE_S = 0.002

_encode_rows = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[LogRow]).decode


class Known(msgspec.Struct, array_like=True, frozen=True):
    """What a shard knows of a range of its journal besides the records.

    Attributes
    ----------
    repeats : by position of a block with repeats, one byte per event: whether it counted
    log : by position, the rows logged there, encoded
    erased : by tenant, for partitions at home here: hash of an erased user's key -> when, ms UTC
    """

    shard: int
    repeats: dict[int, bytes]
    log: dict[int, msgspec.Raw]
    erased: dict[TenantId, dict[bytes, int]]


def known(shard: Shard, first: int, last: int) -> Known:
    """Return what the shard knows of the positions [first, last)."""
    return _known(shard, first, last, dict(_logged(shard, first, last)))


async def known_beside(shard: Shard, first: int, last: int) -> Known:
    """Do the same, letting the event loop do other work meanwhile: a minute's decisions are many rows."""
    log: dict[int, msgspec.Raw] = {}
    began = time.perf_counter()
    for position, rows in _logged(shard, first, last):
        log[position] = rows
        if time.perf_counter() - began > SLICE_S:
            await asyncio.sleep(0)
            began = time.perf_counter()
    return _known(shard, first, last, log)


def _logged(shard: Shard, first: int, last: int) -> Iterator[tuple[int, msgspec.Raw]]:
    for position in [at for at in shard.log if first <= at < last]:
        yield position, msgspec.Raw(_encode_rows(shard.log[position]))


def _known(shard: Shard, first: int, last: int, log: dict[int, msgspec.Raw]) -> Known:
    return Known(
        shard.id,
        {at: mask.tobytes() for at, mask in shard.repeats.items() if first <= at < last},
        log,
        {
            tenant.id: {key: erased_at for key, (_, erased_at) in tenant.tombstones.items()}
            for tenant in shard.tenants.values()
            if tenant.tombstones
        },
    )


def export_range(
    warehouse: Warehouse, known: Known, first: int, last: int, journal: Iterable[tuple[int, bytes]]
) -> Exported:
    """Export the journal's (position, record) of [first, last), only once however often called."""
    return warehouse.export(known.shard, first, last, export_records(known, journal))


class Exporter:
    """Export a shard's journal. Methods block; run them in a thread other than the journal's."""

    def __init__(self, shard: Shard, journal: Journal, warehouse: Warehouse) -> None:
        self._shard = shard
        self._journal = journal
        self._warehouse = warehouse
        self.n_rows = 0

    def exported(self) -> int:
        """Return the position up to which the warehouse has everything."""
        cursor = self._warehouse.exported(self._shard.id)
        return self._journal.oldest if cursor is None else cursor

    def waiting(self) -> list[tuple[int, int]]:
        """Return the closed segments not in the warehouse yet: (first, last), oldest first."""
        cursor = self.exported()
        return [(s.start, s.end) for s in self._journal.segments() if s.closed and s.end > cursor]

    def export(self) -> int:
        """Export what waits, in this process; return the position reached."""
        reached = self.exported()
        for first, last in self.waiting():
            records = self._journal.replay(first, last)
            self.n_rows += export_range(self._warehouse, known(self._shard, first, last), first, last, records).n_rows
            reached = last
        return reached


def export_records(known: Known, journal: Iterable[tuple[int, bytes]]) -> Iterator[ExportRecord | LogRecord]:
    """Yield what becomes rows, of the journal's (position, record)."""
    for position, data in journal:
        encoded = known.log.get(position)
        if encoded is not None:
            logged = _decode_rows(encoded)
            yield LogRecord(position, logged, {n for n, row in enumerate(logged) if _is_erased(known, row)})
        body = decode_record(data).body
        if not isinstance(body, Events):
            continue
        block = decode_block(body.block)
        mask = known.repeats.get(position)
        counted = np.ones(len(block), np.bool_) if mask is None else np.frombuffer(mask, np.bool_)
        gone = known.erased.get(block.tenant)
        if gone:
            events = block.events()
            when = np.minimum(events["timestamp"], events["received"])
            counted = counted.copy()
            for i, key in enumerate(keys_of(block)):
                erased_at = gone.get(message_hash(key))
                if erased_at is not None and when[i] <= erased_at:
                    counted[i] = False
        yield ExportRecord(position, block, counted)


def _is_erased(known: Known, row: LogRow) -> bool:
    erased_at = known.erased.get(row.tenant, {}).get(message_hash(row.user_key))
    return erased_at is not None and row.at <= erased_at
