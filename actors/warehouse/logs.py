"""Turn the shard's log rows into columns of decisions, deliveries, outcomes and rewards.

Decides names, types, what is null, and which format introduced a column. Two fields have other names in SQL, where
their own are reserved words: ``at`` is the column ``occurred_at``, ``group`` is ``experiment_group``. Leaves order,
files and erasure to :mod:`actors.warehouse.datasets`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from actors.warehouse.rows import metadata
from whisperer.shard.state.log import DecisionRow, DeliveryRow, LogRow, OutcomeRow, RewardRow, named
from whisperer.vocabulary.units import DAY_MS

_TEXT, _TEXTS, _NUMBERS = pa.string(), pa.list_(pa.string()), pa.list_(pa.float64())
_TIME = pa.timestamp("ms")  # UTC
_NEVER = object()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What the shard logged while applying one record of its journal.

    Attributes
    ----------
    lsn : the record's position
    rows : in the order in which they were made
    erased : indexes in ``rows`` of users erased since; those rows are stored under a pseudonym
    """

    lsn: int
    rows: Sequence[LogRow]
    erased: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """A row with its place in the journal: the ``index``-th of the record at ``lsn``."""

    lsn: int
    index: int
    row: LogRow
    erased: bool


@dataclass(frozen=True, slots=True)
class Column:
    """``field`` of the row becomes column ``name``; the value ``absent`` means nothing and becomes null.

    ``since`` is the format of the dataset that introduced it: older files do not have it.
    """

    field: str
    type: pa.DataType
    name: str = ""
    absent: object = _NEVER
    nullable: bool = False
    since: int = 1

    def to_arrow(self) -> pa.Field:
        """Return the column's Arrow field."""
        return pa.field(self.name or self.field, self.type, nullable=self.nullable or self.absent is not _NEVER)

    def values(self, rows: Sequence[LogRow]) -> list[Any]:
        """Return the rows' values for the column."""
        found = [getattr(row, self.field) for row in rows]
        if pa.types.is_map(self.type):
            return [_pairs(value if isinstance(value, dict) else named(value)) for value in found]
        return found if self.absent is _NEVER else [None if value == self.absent else value for value in found]


def _pairs(value: dict[str, str] | list[tuple[str, float]]) -> list[tuple[str, Any]]:
    """Return a map's entries; NaN, which would spoil every sum in SQL, becomes null."""
    pairs = value.items() if isinstance(value, dict) else value
    return [(k, None if isinstance(v, float) and math.isnan(v) else v) for k, v in pairs]


_HEAD = (
    Column("partition", pa.uint16()),
    Column("user_key", _TEXT),
    Column("decision_id", _TEXT),
    Column("campaign", _TEXT),
)
_CHOICE = (
    Column("campaign_version", pa.int32()),
    Column("group", _TEXT, "experiment_group", absent=""),
    Column("arm", _TEXT, absent=""),
    Column("propensity", pa.float64(), absent=0.0),
)
_AT = Column("at", _TIME, "occurred_at")

COLUMNS: dict[type[LogRow], tuple[Column, ...]] = {
    DecisionRow: (
        *_HEAD,
        *_CHOICE,
        Column("trigger", _TEXT),
        Column("occurrence", _TEXT, nullable=True),  # null once the user is erased
        _AT,
        Column("chosen_at", _TIME, absent=-1),
        Column("arms", _TEXTS),
        Column("propensities", _NUMBERS),
        Column("means", _NUMBERS),
        Column("spreads", _NUMBERS),
        Column("seed", pa.uint64(), absent=0),
        Column("policy_version", _TEXT, absent=""),
        Column("features", pa.map_(_TEXT, pa.float64()), nullable=True),  # null once the user is erased
        Column("refused_arms", pa.map_(_TEXT, _TEXT)),
        Column("reason", _TEXT, absent=""),
        Column("scores", _NUMBERS, absent=[], since=2),
        Column("shadow", _NUMBERS, absent=[], since=2),
        Column("shadow_version", _TEXT, absent="", since=2),
    ),
    DeliveryRow: (
        *_HEAD,
        Column("send_key", _TEXT),
        Column("channel", _TEXT),
        Column("attempt", pa.int32()),
        Column("status", _TEXT),
        Column("reason", _TEXT, absent=""),
        Column("provider", _TEXT, absent=""),
        Column("provider_id", _TEXT, absent=""),
        Column("detail", _TEXT, absent=""),
        Column("content_hash", _TEXT, absent=""),
        Column("locale", _TEXT, absent=""),
        _AT,
        Column("provenance", _TEXT, absent="", since=2),
    ),
    OutcomeRow: (
        *_HEAD,
        Column("kind", _TEXT),
        Column("detail", _TEXT, absent=""),
        Column("value_micros", pa.int64()),
        _AT,
    ),
    RewardRow: (
        *_HEAD,
        *_CHOICE,
        Column("reward_micros", pa.int64()),
        Column("revision", pa.int32()),
        Column("mature", pa.bool_()),
        _AT,
    ),
}

_BEFORE = [pa.field("tenant", _TEXT, nullable=False), pa.field("date", pa.date32(), nullable=False)]
_AFTER = [
    pa.field("shard", pa.int32(), nullable=False),
    pa.field("lsn", pa.int64(), nullable=False),  # position of the journal record that made the row
    pa.field("index", pa.uint32(), nullable=False),  # place among the rows of that record
]

SCHEMAS: dict[type[LogRow], pa.Schema] = {
    kind: pa.schema(
        [*_BEFORE, *(column.to_arrow() for column in columns), *_AFTER],
        metadata=metadata(max(column.since for column in columns)),
    )
    for kind, columns in COLUMNS.items()
}


def columns_since(kind: type[LogRow]) -> dict[str, int]:
    """Return columns newer than their dataset -> the format that introduced them."""
    return {column.name or column.field: column.since for column in COLUMNS[kind] if column.since > 1}


def field_names(kind: type[LogRow]) -> dict[str, str]:
    """Return column -> name of the row's field, for all columns."""
    renamed = {column.name: column.field for column in COLUMNS[kind] if column.name}
    return {name: renamed.get(name, name) for name in SCHEMAS[kind].names}


def table_of(kind: type[LogRow], logged: Sequence[LoggedRow], shard: int) -> pa.Table:
    """Return rows of one kind and one tenant as a table, in the order given."""
    rows = [entry.row for entry in logged]
    days = np.array([row.at for row in rows], np.int64) // DAY_MS
    arrays = [
        pa.array([row.tenant for row in rows], _TEXT),
        pa.array(days.astype(np.int32)).view(pa.date32()),
        *(_array(column, rows) for column in COLUMNS[kind]),
        pa.repeat(pa.scalar(shard, pa.int32()), len(rows)),
        pa.array([entry.lsn for entry in logged], pa.int64()),
        pa.array([entry.index for entry in logged], pa.uint32()),
    ]
    return pa.table(arrays, schema=SCHEMAS[kind])


def _array(column: Column, rows: Sequence[LogRow]) -> pa.Array:
    if column.type == _TIME:
        return pa.array(column.values(rows), pa.int64()).view(_TIME)
    # NaN is null among an arm's numbers too.
    return pa.array(column.values(rows), column.type, from_pandas=column.type == _NUMBERS)
