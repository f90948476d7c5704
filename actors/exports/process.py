"""Write one export, as a job does it (:mod:`actors.jobs`), in a process of its own.

Guarantees: the file is there whole or not at all, whenever this process is killed; it holds at most what the task
allows; memory is a few batches and DuckDB's bound. Rows of the warehouse come oldest first, some dates at a time.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from actors.exports.columns import TABLES, Table
from actors.exports.formats import Sink, Writer, writer_of
from actors.exports.record import Progress, Task
from actors.exports.spooled import batches
from actors.files.blobs import BlobFolder, BlobWriter
from actors.warehouse import Warehouse
from whisperer.errors import TooLargeError

TOLD_EVERY_S = 0.5
PUT_BYTES = 4 << 20
ROWS_TOGETHER = 250_000
"""Dates are read together up to as many rows."""

Rows = Iterator[tuple[float, pa.RecordBatch]]
"""The share of the work that is done once a batch is written, and the batch."""


def carry_out(task: Task, warehouse: Warehouse) -> Iterator[Progress]:
    """Write the file, yielding the progress now and then; the last one has size and SHA-256.

    Raises TooLargeError (`export_too_large`), UnavailableError.
    """
    table = TABLES[task.of]
    rows = _spooled(task, table) if task.spool else _stored(task, table, warehouse)
    n_rows, told_at = 0, 0.0
    with BlobFolder(task.warehouse).writing(task.place) as blob:
        sink = _Digesting(blob)
        writer = writer_of(task.format, table, sink)
        for share, batch in rows:
            n_rows += batch.num_rows
            _put(writer, batch)
            _check(task, n_rows, sink.n_bytes)
            if time.monotonic() - told_at >= TOLD_EVERY_S:
                told_at = time.monotonic()
                yield Progress(n_rows, share)
        writer.close()
        _check(task, n_rows, sink.n_bytes)
    yield Progress(n_rows, 1.0, sink.n_bytes, sink.sha256)


def _put(writer: Writer, batch: pa.RecordBatch) -> None:
    """Write a batch some rows at a time: as text it takes many times its bytes."""
    step = max(1, batch.num_rows * PUT_BYTES // max(1, batch.nbytes))
    for at in range(0, batch.num_rows, step):
        writer.write(batch.slice(at, step))


def _check(task: Task, n_rows: int, n_bytes: int) -> None:
    narrow = "; narrow its filter, by since and until for example"
    if n_rows > task.most_rows:
        raise TooLargeError(f"an export has {task.most_rows:,} rows at most{narrow}", code="export_too_large")
    if n_bytes > task.most_bytes:
        message = f"the file of an export may have {task.most_bytes >> 20:,} MB here{narrow}"
        raise TooLargeError(message, code="export_too_large")


def _spooled(task: Task, table: Table) -> Rows:
    path = Path(task.spool)
    n_read, n_bytes = 0, max(1, path.stat().st_size)
    for batch in batches(path, table):
        n_read += batch.nbytes
        yield min(1.0, n_read / n_bytes), batch


def _stored(task: Task, table: Table, warehouse: Warehouse) -> Rows:
    """Yield rows of the warehouse. Of dates that are only partly wanted, all rows count as work."""
    first, last = _date(task.since), _date(None if task.until is None else task.until - 1)
    counts = {
        date: n
        for date, n in warehouse.rows_by_date(task.tenant, task.of).items()
        if (first is None or date >= first) and (last is None or date <= last)
    }
    n_all, n_before = max(1, sum(counts.values())), 0
    for dates in _together(counts):
        n_here, n_read = sum(counts[date] for date in dates), 0
        between = dates[0], dates[-1]
        for batch in warehouse.stream_dates(
            task.tenant, task.of, between, table.sources, since=task.since, until=task.until, equal=task.equal
        ):
            n_read += batch.num_rows
            yield min(1.0, (n_before + min(n_read, n_here)) / n_all), table.taken(batch)
        n_before += n_here


def _together(counts: dict[str, int]) -> Iterator[list[str]]:
    """Yield dates in order, as many at a time as have :data:`ROWS_TOGETHER` rows, and at least one."""
    held: list[str] = []
    n_held = 0
    for date in sorted(counts):
        if held and n_held + counts[date] > ROWS_TOGETHER:
            yield held
            held, n_held = [], 0
        held.append(date)
        n_held += counts[date]
    if held:
        yield held


def _date(ms: int | None) -> str | None:
    """Return the date of a time as the warehouse names it; None for none, and for one that no calendar has."""
    if ms is None:
        return None
    try:
        return str((datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)).date())
    except OverflowError:
        return None


class _Digesting(BlobWriter):
    """Digests what is written, besides counting it."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return super().write(data)
