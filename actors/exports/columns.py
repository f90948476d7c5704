"""Define the columns of each kind of export: their names, their types in Parquet, and which of them hold JSON.

The names are the same in all formats. What only the warehouse needs (partition, position in a journal) is left out. A
column of JSON holds what has no fixed form: text in CSV and Parquet, the value itself in NDJSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from actors.warehouse import DATASETS
from whisperer.vocabulary.exports import ExportKind

_INTERNAL = {"tenant", "date", "partition", "shard", "lsn", "index", "sequence", "forwarded"}
_TEXT, _TIME = pa.string(), pa.timestamp("ms", "UTC")
_EVENTS = (
    "message_id", "type", "event", "user_id", "anonymous_id", "user_key", "timestamp", "received_at", "revenue_micros",
    "payload",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of one kind.

    Attributes
    ----------
    schema : as written to Parquet
    sources : the warehouse's columns, in the order of the schema; empty for what is not in the warehouse
    json : names of the columns that hold JSON
    """

    schema: pa.Schema
    sources: tuple[str, ...] = ()
    json: frozenset[str] = frozenset()

    def taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of the sources, in their order, with the names and types of the schema."""
        columns = [column.cast(field.type) for column, field in zip(batch.columns, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _of_warehouse(dataset: str, sources: tuple[str, ...], renamed: dict[str, str], json: frozenset[str]) -> Table:
    schema = DATASETS[dataset].schema
    fields = []
    for name in sources:
        field = schema.field(name)
        kind = _TIME if pa.types.is_timestamp(field.type) else field.type
        fields.append(pa.field(renamed.get(name, name), kind, field.nullable))
    return Table(pa.schema(fields), sources, json)


def _log(kind: ExportKind) -> Table:
    names = tuple(name for name in DATASETS[kind].schema.names if name not in _INTERNAL)
    return _of_warehouse(kind, names, {}, frozenset())


TABLES: dict[ExportKind, Table] = {
    ExportKind.EVENTS: _of_warehouse("events", _EVENTS, {"payload": "sent"}, frozenset({"sent"})),
    ExportKind.DECISIONS: _log(ExportKind.DECISIONS),
    ExportKind.DELIVERIES: _log(ExportKind.DELIVERIES),
    ExportKind.OUTCOMES: _log(ExportKind.OUTCOMES),
    ExportKind.REWARDS: _log(ExportKind.REWARDS),
    ExportKind.USERS: Table(
        pa.schema(
            [
                pa.field("user_id", _TEXT),
                pa.field("anonymous_id", _TEXT),
                pa.field("first_seen", _TIME),
                pa.field("last_seen", _TIME),
                pa.field("events", pa.int64(), nullable=False),
                pa.field("score", pa.float64()),
                pa.field("engagement", pa.float64()),
                pa.field("segments", pa.list_(_TEXT), nullable=False),
                pa.field("traits", _TEXT, nullable=False),
                pa.field("time_zone", _TEXT),
                pa.field("locale", _TEXT),
            ]
        ),
        json=frozenset({"traits"}),
    ),
    ExportKind.AUDIT: Table(
        pa.schema(
            [
                pa.field("serial", pa.int64(), nullable=False),
                pa.field("at", _TIME, nullable=False),
                pa.field("actor", _TEXT, nullable=False),
                *(pa.field(name, _TEXT, nullable=False) for name in ("operation", "verb", "resource", "resource_id")),
                pa.field("before", _TEXT),
                pa.field("after", _TEXT),
                *(pa.field(name, _TEXT, nullable=False) for name in ("address", "request_id", "previous", "hash")),
            ]
        ),
        json=frozenset({"actor", "before", "after"}),
    ),
}
"""Kind -> its columns."""
