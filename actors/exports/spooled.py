"""Read the rows of a spool (:mod:`.spool`) in batches, in an exporting process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from actors.exports.columns import Table

BATCH_ROWS = 1_000

_NULL = b"null"
_line = msgspec.json.Decoder(dict[str, msgspec.Raw])


def batches(path: Path, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches."""
    held: list[dict[str, msgspec.Raw]] = []
    with path.open("rb") as lines:
        for line in lines:
            held.append(_line.decode(line))
            if len(held) == BATCH_ROWS:
                yield _batch(held, table)
                held = []
    if held:
        yield _batch(held, table)


def _batch(rows: list[dict[str, msgspec.Raw]], table: Table) -> pa.RecordBatch:
    columns = []
    for field in table.schema:
        found = (bytes(row[field.name]) for row in rows)
        if field.name in table.json:
            values = [None if raw == _NULL else raw.decode() for raw in found]
        else:
            values = [msgspec.json.decode(raw) for raw in found]
        if pa.types.is_timestamp(field.type):
            columns.append(pa.array(values, pa.int64()).cast(field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)
