"""Write batches of rows as NDJSON, CSV or Parquet, in bounded memory, exactly as the page about exporting says.

NDJSON and Parquet hold values as they are. CSV (RFC 4180) holds nested ones as JSON and nothing for null, and puts an
apostrophe before a text that a spreadsheet would take for a formula (:data:`FORMULAS`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.exports.columns import Table
from actors.exports.spool import on_one_line
from whisperer.vocabulary.exports import ExportFormat

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet would compute or pass on."""
GROUP_ROWS = 65_536
GROUP_BYTES = 32 << 20
"""A row group of Parquet is written when it has as many rows or, in memory, bytes."""
_ISO = "%Y-%m-%dT%H:%M:%SZ"  # the unit of the column gives the milliseconds

_json = msgspec.json.Encoder().encode


class Sink(Protocol):
    closed: bool

    def write(self, data: bytes, /) -> int: ...


class Writer(Protocol):
    """Writes batches that have the schema of its table, and at the end what the format needs there."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


def writer_of(format: ExportFormat, table: Table, sink: Sink) -> Writer:
    """Return a writer to a sink, which it does not close."""
    return _WRITERS[format](table, sink)


class _Ndjson:
    def __init__(self, table: Table, sink: Sink) -> None:
        self._table, self._sink = table, sink

    def write(self, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        lines = [on_one_line(_json(dict(zip(names, row, strict=True)))) + b"\n" for row in _rows(batch, self._table)]
        self._sink.write(b"".join(lines))

    def close(self) -> None: ...


class _Csv:
    def __init__(self, table: Table, sink: Sink) -> None:
        self._table, self._sink = table, sink
        self._nested = [pa.types.is_nested(field.type) or field.name in table.json for field in table.schema]
        self._put([table.schema.names])

    def write(self, batch: pa.RecordBatch) -> None:
        self._put([list(map(_cell, row, self._nested)) for row in _rows(batch, self._table)])

    def close(self) -> None: ...

    def _put(self, rows: list[list[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        self._sink.write(text.getvalue().encode())


class _Parquet:
    def __init__(self, table: Table, sink: Sink) -> None:
        self._schema = table.schema
        self._file = pa.PythonFile(sink, mode="w")
        self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self._n_rows = self._n_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._n_rows += batch.num_rows
        self._n_bytes += batch.nbytes
        if self._n_rows >= GROUP_ROWS or self._n_bytes >= GROUP_BYTES:
            self._put()

    def close(self) -> None:
        self._put()
        self._writer.close()

    def _put(self) -> None:
        if self._held:
            whole = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(whole, row_group_size=GROUP_ROWS)
            self._held, self._n_rows, self._n_bytes = [], 0, 0


_WRITERS: dict[ExportFormat, Callable[[Table, Sink], Writer]] = {
    ExportFormat.NDJSON: _Ndjson,
    ExportFormat.CSV: _Csv,
    ExportFormat.PARQUET: _Parquet,
}


def _rows(batch: pa.RecordBatch, table: Table) -> list[tuple[Any, ...]]:
    """Return rows of Python values: times as ISO 8601, JSON as it was written."""
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            column = pc.strftime(column.cast(pa.timestamp("ms")), _ISO)
        values = column.to_pylist(maps_as_pydicts="strict")
        if field.name in table.json:
            values = [None if value is None else msgspec.Raw(value.encode()) for value in values]
        columns.append(values)
    return list(zip(*columns, strict=True))


def _cell(value: Any, is_nested: bool) -> Any:
    if value is None:
        return ""
    if is_nested:
        value = on_one_line(_json(value)).decode()
    elif isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULAS):
        return "'" + value
    return value
