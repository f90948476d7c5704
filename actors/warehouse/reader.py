"""Answer questions to the warehouse with DuckDB, over the files that the catalog names.

Guarantees: only committed files of the one tenant asked for are read; a question that a compaction or erasure overtook
is asked again on the new files. Leaves writing to :mod:`actors.warehouse.store`.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from actors.files.blobs import BlobFolder
from actors.warehouse.bloom import may_hold
from actors.warehouse.catalog import Catalog, FileEntry
from actors.warehouse.datasets import EVENTS, Dataset, dataset_named
from actors.warehouse.logs import field_names
from actors.warehouse.rows import check_tenant
from actors.warehouse.slices import ROW_BYTES, Slice, sliced
from whisperer.errors import InvariantError
from whisperer.ids import DecisionId, Partition, TenantId, UserKey

_N_ATTEMPTS = 5
_BATCH_ROWS = 1_024
_MEMORY = "256MB"
"""What DuckDB may take for one reader's questions; it spills larger sorts to files of its own."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the warehouse; times in ms UTC, ``date`` ISO 8601."""

    tenant: TenantId
    date: str
    partition: Partition
    user_key: UserKey
    user_id: str | None
    anonymous_id: str | None
    type: str
    event: str
    timestamp: int
    received_at: int
    revenue_micros: int
    message_id: str
    shard: int
    lsn: int
    index: int
    sequence: int | None
    forwarded: bool
    payload: str


class Audit(TypedDict):
    """All that is stored of one decision, each part in order of time.

    Rows have the fields of :mod:`whisperer.shard.state.log` by name, times in ms UTC, null where a row has nothing, and
    ``date``, ``shard``, ``lsn`` and ``index`` as well.
    """

    decision: dict[str, Any]
    deliveries: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    rewards: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one tenant's questions see at one moment, however much is exported meanwhile.

    Attributes
    ----------
    cursors : shard -> position up to which its journal is in the files
    folder : where the tenant's files are, as DuckDB names it; "" where they are not on a local disk
    """

    cursors: Mapping[int, int]
    folder: str
    _reader: Reader
    _files: tuple[FileEntry, ...]

    def events(
        self, connection: duckdb.DuckDBPyConnection, since: int | None = None, until: int | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return the events in the files whose dates touch [since, until), ms UTC."""
        first = "" if since is None else _date(since)
        last = "9" if until is None else _date(until)
        return self._reader._over(EVENTS, (file for file in self._files if first <= file.date <= last), connection)


class Reader:
    """Read committed rows; there may be any number of readers, alongside writers.

    Parameters
    ----------
    n_threads : that DuckDB may use
    """

    def __init__(self, blobs: BlobFolder, catalog: Catalog, n_threads: int = 1) -> None:
        self._blobs = blobs
        self._catalog = catalog
        self._n_threads = n_threads

    @functools.cached_property
    def _duckdb(self) -> duckdb.DuckDBPyConnection:
        """Connect at the first question: a process that only exports pays nothing for it."""
        spill = Path(tempfile.gettempdir()) / f"duckdb-{os.getpid()}-{id(self):x}"  # made if needed, gone at the end
        config = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        bounds: dict[str, Any] = {"threads": self._n_threads, "memory_limit": _MEMORY, "temp_directory": str(spill)}
        return duckdb.connect(config={**bounds, **config})

    def seen(self, tenant: TenantId) -> Seen:
        """Return what a tenant's questions see now; ask again if a compaction or erasure removes files meanwhile."""
        check_tenant(tenant)
        state = self._catalog.state()
        files = (file for file in state.files.values() if file.tenant == tenant and file.dataset == EVENTS.name)
        folder = self._blobs.path_of(EVENTS.folder(tenant, "x")).removesuffix("/date=x") if self._blobs.is_local else ""
        return Seen(state.cursors, folder, self, tuple(files))

    def relation(
        self, tenant: TenantId, dataset: str = "events", connection: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Return all of a tenant's rows of a dataset, to query further in DuckDB, on ``connection`` or one of our own.

        It names files: make a new one for each question, because a compaction or erasure removes files.
        """
        of = dataset_named(dataset)
        return self._over(of, self._files(tenant, of), connection or self._duckdb.cursor())

    def ask_over(
        self,
        tenant: TenantId,
        dataset: str,
        question: Callable[[duckdb.DuckDBPyRelation], Answer],
        between: tuple[int, int],
    ) -> Answer:
        """Return the answer to a question about a dataset's rows, over the files whose dates touch [since, until).

        ``between`` is in ms UTC. The question is asked again if a compaction or erasure overtook it.
        """
        of = dataset_named(dataset)
        first, last = (_date(ms) for ms in between)

        def ask() -> Answer:
            files = (file for file in self._files(tenant, of) if first <= file.date <= last)
            return question(self._over(of, files, self._duckdb.cursor()))

        return self._ask(ask)

    def stream_events(self, tenant: TenantId, user_keys: Collection[UserKey]) -> Iterator[list[StoredEvent]]:
        """Yield all events counted under any of the user keys, by event time, a batch at a time: memory is bounded."""
        order = "timestamp, shard, lsn, index"
        for rows in self._stream(tenant, EVENTS, user_keys, order):
            yield [StoredEvent(*row) for row in rows]

    def lookup(self, tenant: TenantId, shard: int, positions: Sequence[tuple[int, int]]) -> list[StoredEvent | None]:
        """Return the events at (lsn, index in the block), in the order asked; None where there is no such row (now)."""
        if not positions:
            return []
        lsns = {lsn for lsn, _ in positions}
        wanted = _is_in("lsn", lsns) & (duckdb.ColumnExpression("shard") == duckdb.ConstantExpression(shard))

        def ask() -> list[StoredEvent]:
            files = [file for file in self._files(tenant, EVENTS) if _may_hold(file, shard, lsns)]
            return self._events(files, wanted, "lsn, index")

        found = {(event.lsn, event.index): event for event in self._ask(ask)}
        return [found.get(position) for position in positions]

    def stream_log(
        self, tenant: TenantId, dataset: str, user_keys: Collection[UserKey]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows of one log dataset under any of the user keys, a batch at a time; see :class:`Audit`.

        The datasets are decisions, deliveries, outcomes and rewards.
        """
        of = _log_named(dataset)
        assert of.kind is not None
        names = field_names(of.kind).values()
        for rows in self._stream(tenant, of, user_keys, "occurred_at, shard, lsn, index"):
            yield [dict(zip(names, row, strict=True)) for row in rows]

    def rows_by_date(self, tenant: TenantId, dataset: str) -> dict[str, int]:
        """Return ISO date -> rows of a dataset, without opening a file."""
        found: Counter[str] = Counter()
        for file in self._files(tenant, dataset_named(dataset)):
            found[file.date] += file.n_rows
        return dict(found)

    def stream_dates(
        self,
        tenant: TenantId,
        dataset: str,
        between: tuple[str, str],
        columns: Sequence[str],
        *,
        since: int | None = None,
        until: int | None = None,
        equal: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[pa.RecordBatch]:
        """Yield columns of all rows of the ISO dates from the first to the last, oldest first, a batch at a time.

        ``since`` and ``until`` (ms UTC, the latter not included) narrow them further, and ``equal``: column -> value.
        Memory is bounded by slices of time (:mod:`.slices`).
        """
        of = dataset_named(dataset)
        moment = of.times[0]
        wanted = _between(moment, since, until)
        for column, value in equal.items():
            wanted &= duckdb.ColumnExpression(column) == duckdb.ConstantExpression(value)
        texts = " + strlen(payload)" if of is EVENTS else ""
        second = f"floor(epoch_ms({moment}) / 1000.0)::BIGINT"
        shown = ", ".join(f'"{column}"' for column in columns)

        def rows() -> duckdb.DuckDBPyRelation:
            files = (file for file in self._files(tenant, of) if between[0] <= file.date <= between[1])
            return self._over(of, files, self._duckdb.cursor()).filter(wanted)

        def sizes() -> list[tuple[int, int]]:
            size = f"sum({ROW_BYTES}{texts})::BIGINT AS size"
            found: list[tuple[int, int]] = rows().aggregate(f"{second} AS second, {size}").order("second").fetchall()
            return found

        for one in sliced(self._ask(sizes)):
            part = f'hash(shard, lsn, "index") % {one.n_parts} = {one.part}' if one.n_parts > 1 else "true"

            def ask(one: Slice = one, part: str = part) -> Iterator[pa.RecordBatch]:
                here = rows().filter(_between(moment, one.first * 1000, one.end * 1000)).filter(part)
                batches = here.order(f'{moment}, shard, lsn, "index"').project(shown).to_arrow_reader(_BATCH_ROWS)
                return itertools.chain([*itertools.islice(batches, 1)], batches)

            yield from self._ask(ask)

    def lookup_decision(self, tenant: TenantId, decision_id: DecisionId) -> Audit | None:
        """Return a decision with all that followed; None if the warehouse has none of that id for the tenant (yet)."""
        wanted = _is_in("decision_id", [decision_id])

        def rows(name: str, since: str) -> list[dict[str, Any]]:
            of = _log_named(name)
            files = (file for file in self._files(tenant, of) if file.date >= since)
            return self._log_rows(of, [file for file in files if may_hold(file.decisions, decision_id)], wanted)

        def ask() -> Audit | None:
            decisions = rows("decisions", "")
            if not decisions:
                return None
            # What followed lies in files of that day and later; one day of slack for clocks that are not ours.
            since = str(datetime.date.fromisoformat(decisions[0]["date"]) - datetime.timedelta(days=1))
            return Audit(
                decision=decisions[0],
                deliveries=rows("deliveries", since),
                outcomes=rows("outcomes", since),
                rewards=rows("rewards", since),
            )

        return self._ask(ask)

    def _files(self, tenant: TenantId, dataset: Dataset) -> list[FileEntry]:
        check_tenant(tenant)
        files = self._catalog.state().files.values()
        return [file for file in files if file.tenant == tenant and file.dataset == dataset.name]

    def _over(
        self, dataset: Dataset, files: Iterable[FileEntry], connection: duckdb.DuckDBPyConnection
    ) -> duckdb.DuckDBPyRelation:
        version_to_paths: dict[int, list[str]] = {}
        for file in files:
            version_to_paths.setdefault(file.version, []).append(self._blobs.path_of(file.path))
        version_to_columns = {version: dataset.columns(version) for version in version_to_paths}
        if not self._blobs.is_local and version_to_paths:
            paths = list(itertools.chain.from_iterable(version_to_paths.values()))
            rows = ds.dataset(paths, filesystem=self._blobs.filesystem, format="parquet", schema=dataset.schema)
            return connection.from_arrow(rows)

        def of_version(version: int) -> duckdb.DuckDBPyRelation:
            if version not in version_to_paths:
                return connection.from_arrow(dataset.schema.empty_table())
            paths, there = version_to_paths[version], set(version_to_columns[version])
            found = connection.read_parquet([_literal(path) for path in paths], hive_partitioning=False)
            columns = (f'"{n}"' if n in there else f'NULL AS "{n}"' for n in dataset.schema.names)
            return found if len(there) == len(dataset.schema) else found.project(", ".join(columns))

        # The current version first, even without files: it gives the types of columns that older files lack.
        versions = sorted(version_to_paths.keys() | {dataset.version}, reverse=True)
        return functools.reduce(lambda newer, older: newer.union(older), map(of_version, versions))

    def _fetch(
        self, dataset: Dataset, files: Iterable[FileEntry], wanted: duckdb.Expression, order: str
    ) -> list[tuple[Any, ...]]:
        columns = ", ".join(_column(field) for field in dataset.schema)
        rows = self._over(dataset, files, self._duckdb.cursor()).filter(wanted).order(order).project(columns)
        found: list[tuple[Any, ...]] = rows.fetchall()
        return found

    def _events(self, files: Iterable[FileEntry], wanted: duckdb.Expression, order: str) -> list[StoredEvent]:
        return [StoredEvent(*row) for row in self._fetch(EVENTS, files, wanted, order)]

    def _log_rows(
        self, dataset: Dataset, files: Iterable[FileEntry], wanted: duckdb.Expression
    ) -> list[dict[str, Any]]:
        assert dataset.kind is not None
        names = field_names(dataset.kind).values()
        rows = self._fetch(dataset, files, wanted, "occurred_at, shard, lsn, index")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _stream(
        self, tenant: TenantId, dataset: Dataset, user_keys: Collection[UserKey], order: str
    ) -> Iterator[Iterable[tuple[Any, ...]]]:
        """Yield rows in batches. They are sorted: when the first comes, every file has been read."""
        if not user_keys:
            return
        wanted = _is_in("user_key", user_keys)
        columns = ", ".join(_column(field) for field in dataset.schema)

        def ask() -> Iterator[pa.RecordBatch]:
            rows = self._over(dataset, self._files(tenant, dataset), self._duckdb.cursor()).filter(wanted)
            batches = rows.order(order).project(columns).to_arrow_reader(_BATCH_ROWS)
            return itertools.chain([*itertools.islice(batches, 1)], batches)

        for batch in self._ask(ask):
            lists = (column.to_pylist(maps_as_pydicts="strict") for column in batch.columns)
            yield zip(*lists, strict=True)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        for _ in range(_N_ATTEMPTS - 1):
            try:
                return question()
            except (duckdb.IOException, FileNotFoundError):
                continue  # a file was replaced after the catalog was read
        return question()


def _log_named(name: str) -> Dataset:
    found = dataset_named(name)
    if found.kind is None:
        raise InvariantError(f"{name} are no log of the shard: ask read_events or lookup")
    return found


def _column(field: pa.Field) -> str:
    if pa.types.is_timestamp(field.type):
        return f'epoch_ms("{field.name}")'
    return f'"{field.name}"::VARCHAR' if pa.types.is_date(field.type) else f'"{field.name}"'


def _is_in(column: str, values: Iterable[Any]) -> duckdb.Expression:
    constants = [duckdb.ConstantExpression(value) for value in values]
    return duckdb.ColumnExpression(column).isin(*constants)


def _between(column: str, since: int | None, until: int | None) -> duckdb.Expression:
    """Return the condition that a time is in [since, until), ms UTC."""
    found = duckdb.ConstantExpression(True)
    for bound, is_lower in ((since, True), (until, False)):
        if bound is not None:
            at = duckdb.FunctionExpression("make_timestamp", duckdb.ConstantExpression(bound * 1000))
            found &= duckdb.ColumnExpression(column) >= at if is_lower else duckdb.ColumnExpression(column) < at
    return found


def _may_hold(file: FileEntry, shard: int, lsns: Collection[int]) -> bool:
    return any(of == shard and any(first <= lsn < last for lsn in lsns) for of, first, last in file.ranges)


def _date(ms: int) -> str:
    """Return the ISO date of a moment, clamped to those that there are."""
    clamped = min(max(ms, 0), 253_402_300_799_999)
    return datetime.datetime.fromtimestamp(clamped / 1000, datetime.UTC).date().isoformat()


def _literal(path: str) -> str:
    """Escape DuckDB's wildcards in a path."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
