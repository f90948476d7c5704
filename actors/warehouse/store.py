"""Store events, decisions, deliveries, outcomes and rewards as Parquet by tenant and date, each exactly once.

How exactly once: a range of a shard's journal (a closed segment, whose bounds never change, whatever crashes) is
written to data files whose names follow from the range; then one commit makes all of them, of every dataset, visible
and moves the shard's cursor. A crash before the commit leaves files that nobody reads, which the next export of the
same range overwrites with the same rows; after the commit the range is never exported again. Compaction and erasure
write new files and swap them in with one commit; only then are the old ones deleted.

Leaves to others: which events count (the shard's mask), what the shard logged, and when a date is closed. Rules for
callers: one exporter per shard (the holder of its journal); one maintainer (compact, erase, vacuum) at a time, which a
lock ensures on a local disk; erase a user only after every shard has exported what it held at that moment, as a
partition may have been at home at any of them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.files.blobs import BlobFolder, BlobWriter
from actors.files.fsync import PARTIAL_SUFFIX, make_folder_durably
from actors.journal.fence import Fence
from actors.warehouse.bloom import MOST_IDS, bloom_of
from actors.warehouse.catalog import Catalog, FileEntry, State
from actors.warehouse.datasets import DATASETS, Dataset, dataset_named, tables_by_day
from actors.warehouse.logs import LogRecord
from actors.warehouse.pseudonyms import Pseudonyms
from actors.warehouse.reader import Audit, Reader, Seen, StoredEvent
from actors.warehouse.rows import ExportRecord, check_tenant
from whisperer.errors import FencedError, InvariantError, UnavailableError
from whisperer.ids import DecisionId, TenantId, UserKey

Answer = TypeVar("Answer")

COMPACT_BELOW_BYTES = 16 << 20
COMPACT_ROWS = 1_000_000
"""Most rows in a merged file: all of them are in memory while it is written."""
_ROW_GROUP_ROWS = 65_536

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did; ``committed`` is False if the range had been exported before, ``n_rows`` is of events."""

    committed: bool
    n_rows: int
    n_log_rows: int
    n_files: int


class Warehouse:
    """Write and read the warehouse at one URI.

    Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path
    n_threads : that DuckDB may use for questions
    pseudonym_key : secret of the installation, the same in every process that exports or erases
    """

    def __init__(
        self, uri: str | os.PathLike[str] | BlobFolder, *, n_threads: int = 1, pseudonym_key: bytes = b""
    ) -> None:
        self._blobs = uri if isinstance(uri, BlobFolder) else BlobFolder(uri)
        self._catalog = Catalog(self._blobs)
        self._reader = Reader(self._blobs, self._catalog, n_threads)
        self._pseudonyms = Pseudonyms(pseudonym_key)
        self.is_local = self._blobs.is_local

    def exported(self, shard: int) -> int | None:
        """Return the position up to which a shard's journal has been exported, None before the first export.

        The journal must not be trimmed beyond it.
        """
        return self._catalog.state().cursors.get(shard)

    def export(self, shard: int, first: int, last: int, records: Iterable[ExportRecord | LogRecord]) -> Exported:
        """Write the counted events and logged rows of the journal range [first, last), only once however often called.

        Raises InvariantError where the range does not join the cursor, or a record lies outside it.
        """
        cursor = self.exported(shard)
        if cursor is not None and first < last <= cursor:
            return Exported(committed=False, n_rows=0, n_log_rows=0, n_files=0)
        if first >= last or (cursor is not None and first != cursor):
            raise InvariantError(f"shard {shard} was exported to {cursor}: cannot export [{first}, {last})")
        stem, ranges = f"{shard:04d}-{first:020d}-{last:020d}", [(shard, first, last)]
        files: list[FileEntry] = []
        n_pieces: Counter[str] = Counter()
        for dataset, tenant, date, table in tables_by_day(_within(records, first, last), shard, self._pseudonyms):
            place = dataset.folder(tenant, date)
            name = f"{stem}-{n_pieces[place]:04d}.parquet" if n_pieces[place] else f"{stem}.parquet"
            n_pieces[place] += 1
            files.append(self._write(dataset, tenant, date, name, table, ranges))
        self._catalog.commit_export(shard, first, last, files)
        n_rows = sum(file.n_rows for file in files if file.dataset == "events")
        n_all = sum(file.n_rows for file in files)
        return Exported(committed=True, n_rows=n_rows, n_log_rows=n_all - n_rows, n_files=len(files))

    def scattered(self, *, at_least: int, below_bytes: int = COMPACT_BELOW_BYTES) -> list[tuple[TenantId, str]]:
        """Return (tenant, date) with ``at_least`` files of a dataset smaller than ``below_bytes``; most files first."""
        counts = Counter(
            (file.tenant, file.date, file.dataset)
            for file in self._catalog.state().files.values()
            if _is_small(file, below_bytes)
        )
        found = {(tenant, date): n for (tenant, date, _), n in reversed(counts.most_common()) if n >= at_least}
        return sorted(found, key=lambda place: (-found[place], place))

    def n_commits(self) -> int:
        """Return how many commits :meth:`vacuum` would fold into one."""
        return self._catalog.state().n_commits

    def compact(self, tenant: TenantId, date: str, *, below_bytes: int = COMPACT_BELOW_BYTES, at_least: int = 2) -> int:
        """Merge a date's files smaller than ``below_bytes`` into files up to twice that size, each dataset separately.

        Only datasets with ``at_least`` such files. Returns how many files were replaced. Safe on an open date too:
        files that come later are merged the next time.
        """
        check_tenant(tenant)
        with self._maintaining() as state:
            number = state.last_rewrite + 1
            files = [f for _, f in sorted(state.files.items()) if (f.tenant, f.date) == (tenant, date)]
            adds: list[FileEntry] = []
            removes: list[str] = []
            for dataset in DATASETS.values():
                small = [f for f in files if f.dataset == dataset.name and _is_small(f, below_bytes)]
                for batch in _batches(small, 2 * below_bytes) if len(small) >= at_least else ():
                    table = dataset.sorted(pa.concat_tables(self._read(file) for file in batch))
                    name = f"compact-{number:010d}-{len(adds):04d}.parquet"
                    ranges = sorted(r for file in batch for r in file.ranges)
                    adds.append(self._write(dataset, tenant, date, name, table, ranges))
                    removes += [file.path for file in batch]
            return self._swap(number, "compact", adds, removes)

    def erase(self, tenant: TenantId, erased: Mapping[UserKey, int]) -> int:
        """Rewrite every file with rows of these users (user key -> ms UTC of erasure); return how many were theirs.

        Afterwards the old files are gone. Events are removed. Decisions, deliveries, outcomes and rewards stay for the
        audit, under a pseudonym, without what is personal in them. Rows dated after the erasure stay: they are of a
        user who came back.
        """
        check_tenant(tenant)
        with self._maintaining() as state:
            number = state.last_rewrite + 1
            adds, removes, n_rows = [], [], 0
            for path, file in sorted(state.files.items()):
                if file.tenant != tenant or not self._holds(file, erased):
                    continue
                dataset, table = dataset_named(file.dataset), self._read(file)
                theirs = dataset.of_users(table, erased)
                n_rows += pc.sum(theirs).as_py()
                removes.append(path)
                kept = dataset.without_users(table, theirs, tenant, self._pseudonyms)
                if kept.num_rows:
                    name = f"{_stem(path).partition('.e')[0]}.e{number:010d}.parquet"
                    adds.append(self._write(dataset, tenant, file.date, name, kept, file.ranges))
            self._swap(number, "erase", adds, removes)
        self.vacuum(tenant)
        return n_rows

    def vacuum(self, tenant: TenantId | None = None) -> int:
        """Delete files that no commit names or ever will (left by crashes) and fold the catalog; return their number.

        With ``tenant``, look only there, and do not fold.
        """
        n_deleted = 0
        with self._maintaining() as state:
            folder = f"tenant={check_tenant(tenant)}" if tenant else ""
            for path in self._blobs.names(folder, unfinished=True):
                is_data = path.startswith("tenant=")
                if is_data and path not in state.files and not _may_be_in_progress(path, state):
                    self._blobs.delete(path)
                    n_deleted += 1
            if tenant is None:
                self._catalog.fold()
        return n_deleted

    def read_events(self, tenant: TenantId, user_keys: Collection[UserKey]) -> list[StoredEvent]:
        """Return everything :meth:`stream_events` yields, at once: for few events."""
        return [event for batch in self.stream_events(tenant, user_keys) for event in batch]

    def stream_events(self, tenant: TenantId, user_keys: Collection[UserKey]) -> Iterator[list[StoredEvent]]:
        """See :meth:`Reader.stream_events`."""
        return self._reader.stream_events(tenant, user_keys)

    def lookup(self, tenant: TenantId, shard: int, positions: list[tuple[int, int]]) -> list[StoredEvent | None]:
        """See :meth:`Reader.lookup`."""
        return self._reader.lookup(tenant, shard, positions)

    def lookup_decision(self, tenant: TenantId, decision_id: DecisionId) -> Audit | None:
        """See :meth:`Reader.lookup_decision`."""
        return self._reader.lookup_decision(tenant, decision_id)

    def read_log(self, tenant: TenantId, dataset: str, user_keys: Collection[UserKey]) -> list[dict[str, Any]]:
        """Return everything :meth:`stream_log` yields, at once: for few rows."""
        return [row for batch in self.stream_log(tenant, dataset, user_keys) for row in batch]

    def stream_log(
        self, tenant: TenantId, dataset: str, user_keys: Collection[UserKey]
    ) -> Iterator[list[dict[str, Any]]]:
        """See :meth:`Reader.stream_log`."""
        return self._reader.stream_log(tenant, dataset, user_keys)

    def rows_by_date(self, tenant: TenantId, dataset: str) -> dict[str, int]:
        """See :meth:`Reader.rows_by_date`."""
        return self._reader.rows_by_date(tenant, dataset)

    def stream_dates(
        self, tenant: TenantId, dataset: str, between: tuple[str, str], columns: Sequence[str], **narrowed: Any
    ) -> Iterator[pa.RecordBatch]:
        """See :meth:`Reader.stream_dates`."""
        return self._reader.stream_dates(tenant, dataset, between, columns, **narrowed)

    def seen(self, tenant: TenantId) -> Seen:
        """See :meth:`Reader.seen`."""
        return self._reader.seen(tenant)

    def duckdb_relation(
        self, tenant: TenantId, dataset: str = "events", connection: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyRelation:
        """See :meth:`Reader.relation`."""
        return self._reader.relation(tenant, dataset, connection)

    def ask_over(
        self,
        tenant: TenantId,
        dataset: str,
        question: Callable[[duckdb.DuckDBPyRelation], Answer],
        between: tuple[int, int],
    ) -> Answer:
        """See :meth:`Reader.ask_over`."""
        return self._reader.ask_over(tenant, dataset, question, between)

    def files(self, tenant: TenantId | None = None) -> list[FileEntry]:
        """Return the committed files, by path."""
        state = self._catalog.state()
        return [file for _, file in sorted(state.files.items()) if tenant in (None, file.tenant)]

    @contextlib.contextmanager
    def _maintaining(self) -> Iterator[State]:
        """Yield the state while no other maintainer changes it (exporters may). Raises UnavailableError (retryable)."""
        if not self._blobs.is_local:
            yield self._catalog.state()
            return
        folder = Path(self._blobs.path_of("catalog"))
        make_folder_durably(folder)
        try:
            fence = Fence.take(folder / "maintenance.lock")
        except FencedError as error:
            raise UnavailableError(f"another maintainer is at work: {error.message}", retry_after_s=1.0) from error
        try:
            yield self._catalog.state()
        finally:
            fence.release()

    def _swap(self, number: int, reason: str, adds: list[FileEntry], removes: list[str]) -> int:
        """Commit, then delete what was replaced (a crash in between leaves that to :meth:`vacuum`)."""
        if not removes:
            return 0
        self._catalog.commit_rewrite(number, reason, adds, removes)
        for path in removes:
            self._blobs.delete(path)
        _log.info("%s: %d files became %d", reason, len(removes), len(adds))
        return len(removes)

    def _write(
        self,
        dataset: Dataset,
        tenant: TenantId,
        date: str,
        name: str,
        table: pa.Table,
        ranges: list[tuple[int, int, int]],
    ) -> FileEntry:
        path = f"{dataset.folder(tenant, date)}/{name}"
        with self._blobs.writing(path) as writer:
            _write_parquet(writer, table, dataset.dictionary)
        return FileEntry(
            path,
            tenant,
            date,
            table.num_rows,
            writer.n_bytes,
            writer.crc32c,
            ranges,
            dataset.name,
            dataset.version,
            b"" if dataset.kind is None else _decisions_of(table),
        )

    def _read(self, file: FileEntry) -> pa.Table:
        # Without threads: a compaction runs in a forked child.
        dataset = dataset_named(file.dataset)
        found = pq.ParquetFile(pa.py_buffer(self._blobs.get(file.path)))
        table = dataset.of_today(found.read(dataset.columns(file.version), use_threads=False))
        if table.num_rows != file.n_rows:
            raise InvariantError(f"{file.path} holds {table.num_rows} rows, {file.n_rows} were committed")
        return table

    def _holds(self, file: FileEntry, erased: Mapping[UserKey, int]) -> bool:
        dataset = dataset_named(file.dataset)
        found = pq.read_table(
            self._blobs.path_of(file.path),
            filesystem=self._blobs.filesystem,
            columns=["user_key", *dataset.times],
            filters=pc.field("user_key").isin(pa.array(erased, pa.string())),
            partitioning=None,
            use_threads=False,
        )
        return bool(found.num_rows) and bool(pc.any(dataset.of_users(found, erased)).as_py())


def _write_parquet(writer: BlobWriter, table: pa.Table, dictionary: Sequence[str]) -> None:
    with pa.PythonFile(writer, mode="w") as sink:
        pq.write_table(
            table,
            sink,
            compression="zstd",
            use_dictionary=list(dictionary),
            row_group_size=_ROW_GROUP_ROWS,
            write_statistics=True,
        )


def _decisions_of(table: pa.Table) -> bytes:
    ids = table["decision_id"].unique()
    return bloom_of(ids.to_pylist()) if len(ids) <= MOST_IDS else b""


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(PARTIAL_SUFFIX).removesuffix(".parquet")


def _within(records: Iterable[ExportRecord | LogRecord], first: int, last: int) -> Iterator[ExportRecord | LogRecord]:
    for record in records:
        if not first <= record.lsn < last:
            raise InvariantError(f"record {record.lsn} lies outside of [{first}, {last})")
        yield record


def _is_small(file: FileEntry, below_bytes: int) -> bool:
    return file.n_bytes < below_bytes and file.n_rows <= COMPACT_ROWS // 2


def _batches(files: list[FileEntry], target_bytes: int) -> Iterator[list[FileEntry]]:
    """Yield neighbours that are worth merging: at least two files, together at most ``target_bytes``.

    Where each is smaller than half of that, and of the rows allowed, at most one file is left over.
    """
    batch: list[FileEntry] = []
    size = n_rows = 0
    for file in files:
        if batch and (size + file.n_bytes > target_bytes or n_rows + file.n_rows > COMPACT_ROWS):
            if len(batch) > 1:
                yield batch
            batch, size, n_rows = [], 0, 0
        batch.append(file)
        size += file.n_bytes
        n_rows += file.n_rows
    if len(batch) > 1:
        yield batch


def _may_be_in_progress(path: str, state: State) -> bool:
    """Report whether an exporter may be about to commit this file; maintainers write theirs under the lock."""
    stem = _stem(path)
    if stem.startswith("compact-") or ".e" in stem:
        return False
    shard, _, last, *_ = stem.split("-")
    return int(last) > state.cursors.get(int(shard), -1)
