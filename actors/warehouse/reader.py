"""Questions to the warehouse, answered by DuckDB over the files the catalog names.

Guarantees: only committed files of the one tenant asked for are read; a question that a compaction or erasure overtook
is asked again on the new files. Leaves writing to :mod:`actors.warehouse.store`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb
import pyarrow.dataset as ds

from actors.blobs import BlobFolder
from actors.warehouse.catalog import Catalog, FileEntry
from actors.warehouse.rows import SCHEMA, check_tenant

_N_ATTEMPTS = 5
_TIMES = ("timestamp", "received_at")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the warehouse; times in ms UTC, ``date`` ISO 8601."""

    tenant: str
    date: str
    partition: int
    user_key: str
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


class Reader:
    """Reads committed rows; any number of them, beside writers.

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
        """Made at the first question: a process that only exports pays nothing for it."""
        config = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        return duckdb.connect(config={"threads": self._n_threads, **config})

    def relation(self, tenant: str, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """All of a tenant's rows, to query further in DuckDB, on ``connection`` or one of our own.

        It names files: make a new one for each question, a compaction or erasure removes files.
        """
        return self._over(self._files(tenant), connection or self._duckdb.cursor())

    def read_events(self, tenant: str, user_keys: Collection[str]) -> list[StoredEvent]:
        """All events counted under any of the user keys, by event time."""
        if not user_keys:
            return []
        wanted = _is_in("user_key", user_keys)
        return self._ask(lambda: self._fetch(self._files(tenant), wanted, "timestamp, shard, lsn, index"))

    def lookup(self, tenant: str, shard: int, positions: Sequence[tuple[int, int]]) -> list[StoredEvent | None]:
        """The events at (lsn, index in the block), in the order asked; None where there is no such row (any more)."""
        if not positions:
            return []
        lsns = {lsn for lsn, _ in positions}
        wanted = _is_in("lsn", lsns) & (duckdb.ColumnExpression("shard") == duckdb.ConstantExpression(shard))

        def ask() -> list[StoredEvent]:
            files = [file for file in self._files(tenant) if _may_hold(file, shard, lsns)]
            return self._fetch(files, wanted, "lsn, index")

        found = {(event.lsn, event.index): event for event in self._ask(ask)}
        return [found.get(position) for position in positions]

    def _files(self, tenant: str) -> list[FileEntry]:
        check_tenant(tenant)
        return [file for file in self._catalog.state().files.values() if file.tenant == tenant]

    def _over(self, files: Iterable[FileEntry], connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        paths = [self._blobs.path_of(file.path) for file in files]
        if not paths:
            return connection.from_arrow(SCHEMA.empty_table())
        if self._blobs.is_local:
            return connection.read_parquet([_literal(path) for path in paths], hive_partitioning=False)
        rows = ds.dataset(paths, filesystem=self._blobs.filesystem, format="parquet", schema=SCHEMA)
        return connection.from_arrow(rows)

    def _fetch(self, files: Iterable[FileEntry], wanted: duckdb.Expression, order: str) -> list[StoredEvent]:
        columns = ", ".join(_column(name) for name in SCHEMA.names)
        rows: list[tuple[Any, ...]] = (
            self._over(files, self._duckdb.cursor()).filter(wanted).order(order).project(columns).fetchall()
        )
        return [StoredEvent(*row) for row in rows]

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        for _ in range(_N_ATTEMPTS - 1):
            try:
                return question()
            except (duckdb.IOException, FileNotFoundError):
                continue  # a file was replaced after the catalog was read
        return question()


def _column(name: str) -> str:
    if name in _TIMES:
        return f'epoch_ms("{name}")'
    return f'"{name}"::VARCHAR' if name == "date" else f'"{name}"'


def _is_in(column: str, values: Iterable[Any]) -> duckdb.Expression:
    constants = [duckdb.ConstantExpression(value) for value in values]
    return duckdb.ColumnExpression(column).isin(*constants)


def _may_hold(file: FileEntry, shard: int, lsns: Collection[int]) -> bool:
    return any(of == shard and any(first <= lsn < last for lsn in lsns) for of, first, last in file.ranges)


def _literal(path: str) -> str:
    """The path with DuckDB's wildcards taken literally."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
