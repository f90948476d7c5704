"""Define the warehouse's datasets: where their files lie, in what order, and what erasure does to their rows.

A dataset grows by nullable columns, each with the format that introduced it: older files stay as they are, and are read
as if they had nulls there.

A range of a shard's journal becomes files of all datasets in one commit. The same records always give the same rows in
the same order, which makes exporting a range twice harmless. Leaves columns to :mod:`actors.warehouse.rows` and
:mod:`actors.warehouse.logs`, and commits to others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.warehouse import logs, rows
from actors.warehouse.logs import LoggedRow, LogRecord
from actors.warehouse.pseudonyms import Pseudonyms
from actors.warehouse.rows import ExportRecord, check_tenant
from whisperer.errors import InvariantError
from whisperer.ids import TenantId, UserKey
from whisperer.shard.state.log import DecisionRow, DeliveryRow, LogRow, OutcomeRow, RewardRow

PIECE_BYTES = 192 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One dataset: its columns, order, and rules of erasure.

    Attributes
    ----------
    order : columns by which the rows of every file are sorted
    dictionary : Parquet columns worth a dictionary
    personal : columns that are null in an erased user's rows; None: such rows are removed
    times : if any is at or before an erasure, the row is the erased user's; else of a user who came back
    kind : of the shard's rows, None for events
    added : column -> the format that introduced it, except columns of the first format
    """

    name: str
    schema: pa.Schema
    order: tuple[str, ...]
    dictionary: tuple[str, ...]
    personal: tuple[str, ...] | None
    times: tuple[str, ...]
    kind: type[LogRow] | None = None
    added: Mapping[str, int] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The format in which files are written."""
        return max(self.added.values(), default=1)

    def columns(self, version: int) -> list[str]:
        """Return the columns of a file in that format. Raises InvariantError for a format of a later release."""
        if version > self.version:
            raise InvariantError(
                f"{self.name} of format {version} are of a later release: here they end at {self.version}"
            )
        return [name for name in self.schema.names if self.added.get(name, 1) <= version]

    def of_today(self, table: pa.Table) -> pa.Table:
        """Return a file's table, in whatever format, with all current columns."""
        for name in self.added:
            if name not in table.column_names:
                column = self.schema.field(name)
                table = table.append_column(column, pa.nulls(table.num_rows, column.type))
        return table.select(self.schema.names).cast(self.schema)

    def folder(self, tenant: TenantId, date: str) -> str:
        """Return the folder of a date's files. Events came first, and stay where they always were."""
        part = "" if self.kind is None else f"/dataset={self.name}"
        return f"tenant={tenant}{part}/date={date}"

    def sorted(self, table: pa.Table) -> pa.Table:
        """Sort a table so that rows that are asked for together lie together and few row groups are read."""
        whole = table.combine_chunks()  # picking rows out of a thousand pieces takes five times as long
        text, *numbers = (whole[name] for name in self.order)
        keys = [number.to_numpy() for number in reversed(numbers)]
        return whole.take(pa.array(np.lexsort((*keys, _ranks(text)))))

    def of_users(self, table: pa.Table, erased: Mapping[UserKey, int]) -> pa.BooleanArray:
        """Mark the rows (bool[n]) of these users, user key -> ms UTC, from before they were erased."""
        keys = pa.array(erased, pa.string())
        until = np.fromiter(erased.values(), np.int64, len(erased))
        place = pc.index_in(table["user_key"], value_set=keys).combine_chunks()
        theirs = place.is_valid().to_numpy(zero_copy_only=False)
        when = np.min([table[name].cast(pa.int64()).to_numpy() for name in self.times], axis=0)
        theirs[theirs] = when[theirs] <= until[place.drop_null().to_numpy()]
        return pa.array(theirs)

    def without_users(self, table: pa.Table, erased: pa.Array, tenant: TenantId, pseudonyms: Pseudonyms) -> pa.Table:
        """Return what remains of a table when the users of the rows where ``erased`` (bool[n]) is true are erased."""
        if self.personal is None:
            return table.filter(pc.invert(erased))
        return pseudonyms.put(table, erased, tenant, self.personal)


def _log(name: str, kind: type[LogRow], dictionary: tuple[str, ...], personal: tuple[str, ...]) -> Dataset:
    order = ("decision_id", "lsn", "index")
    common = ("tenant", "user_key", "campaign")
    schema, times = logs.SCHEMAS[kind], ("occurred_at",)
    return Dataset(name, schema, order, common + dictionary, personal, times, kind, logs.columns_since(kind))


EVENTS = Dataset(
    "events",
    rows.SCHEMA,
    ("user_key", "lsn", "index"),
    rows.DICTIONARY_COLUMNS,
    personal=None,
    times=("timestamp", "received_at"),  # a client may have dated an event from before the erasure into the future
)

_OF_CHOICE = ("experiment_group", "arm")
_NESTED = (
    "arms.list.element",
    "features.key_value.key",
    "refused_arms.key_value.key",
    "refused_arms.key_value.value",
)

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        EVENTS,
        _log(
            "decisions",
            DecisionRow,
            (*_OF_CHOICE, "trigger", "policy_version", "shadow_version", "reason", *_NESTED),
            # The occurrence may hold what a caller wrote, and with a decision id lets one test a guessed user id.
            personal=("features", "occurrence"),
        ),
        _log(
            "deliveries",
            DeliveryRow,
            ("channel", "status", "reason", "provider", "detail", "content_hash", "locale"),
            # Servers like to answer with the address; what a prompt says of a user has no name in it, but is theirs.
            personal=("detail", "provenance"),
        ),
        _log("outcomes", OutcomeRow, ("kind", "detail"), personal=("detail",)),  # a clicked link may name the user
        _log("rewards", RewardRow, _OF_CHOICE, personal=()),
    )
}


def dataset_named(name: str) -> Dataset:
    """Return a dataset. Raises InvariantError for one that this release does not know."""
    found = DATASETS.get(name)
    if found is None:
        raise InvariantError(f"there is no dataset {name!r}; known are {', '.join(DATASETS)}")
    return found


def tables_by_day(
    records: Iterable[ExportRecord | LogRecord], shard: int, pseudonyms: Pseudonyms
) -> Iterator[tuple[Dataset, TenantId, str, pa.Table]]:
    """Yield (dataset, tenant, ISO date, sorted rows) of all counted events and all logged rows.

    A tenant's events come in pieces of about :data:`PIECE_BYTES`: a journal compresses payloads, and memory must not
    depend on how well.
    """
    events: dict[TenantId, list[pa.Table]] = defaultdict(list)
    sizes: Counter[TenantId] = Counter()
    logged: dict[tuple[TenantId, type[LogRow]], list[LoggedRow]] = defaultdict(list)
    for record in records:
        if isinstance(record, ExportRecord):
            tenant, table = check_tenant(record.block.tenant), rows.rows_of(record, shard)
            events[tenant].append(table)
            sizes[tenant] += table.nbytes
            if sizes[tenant] >= PIECE_BYTES:
                yield from _by_day(EVENTS, tenant, pa.concat_tables(events.pop(tenant)))
                del sizes[tenant]
            continue
        for index, row in enumerate(record.rows):
            entry = LoggedRow(record.lsn, index, row, index in record.erased)
            logged[check_tenant(row.tenant), type(row)].append(entry)
    for tenant in sorted(events):
        yield from _by_day(EVENTS, tenant, pa.concat_tables(events.pop(tenant)))
    for dataset in DATASETS.values():
        for tenant in sorted(tenant for tenant, kind in logged if kind is dataset.kind):
            assert dataset.kind is not None
            entries = logged.pop((tenant, dataset.kind))
            erased = pa.array([entry.erased for entry in entries], pa.bool_())
            table = logs.table_of(dataset.kind, entries, shard)
            yield from _by_day(dataset, tenant, dataset.without_users(table, erased, tenant, pseudonyms))


def _ranks(texts: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return numbers in the order of the texts: sorting the distinct ones is cheaper than comparing all of them."""
    encoded = texts.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries()
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], encoded.type)
    rank = np.empty(len(encoded.dictionary), np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
    found: NDArray[np.int64] = rank[encoded.indices.to_numpy()]
    return found


def _by_day(dataset: Dataset, tenant: TenantId, table: pa.Table) -> Iterator[tuple[Dataset, TenantId, str, pa.Table]]:
    days = pc.unique(table["date"]).sort()
    for day in days:
        of_day = table if len(days) == 1 else table.filter(pc.equal(table["date"], day))
        yield dataset, tenant, _iso_date(day), dataset.sorted(of_day)


def _iso_date(day: pa.Date32Scalar) -> str:
    return str(np.datetime64(int(day.cast(pa.int32()).as_py()), "D"))
