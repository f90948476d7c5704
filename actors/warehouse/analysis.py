"""Answer questions about a tenant's events with DuckDB, over the warehouse's files and the newest events of the shards.

Guarantees: one state of both for all queries of a question, without a gap or an overlap; users are one under every id
(:mod:`.identities`); users who are being erased are left out already. DuckDB is bounded in memory, threads and what it
spills. Where the warehouse is on a local disk it opens no other file than the tenant's, and cannot be told otherwise by
a query.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import func, sqltypes

from actors.calls.shard_tail import ShardTail
from actors.warehouse import Warehouse
from actors.warehouse.identities import asked_again, create_same
from actors.warehouse.reader import Seen
from actors.warehouse.tail import rows_after
from whisperer.analytics.answers import Answer
from whisperer.analytics.asking import answer
from whisperer.analytics.questions import Question
from whisperer.analytics.sql import Test
from whisperer.analytics.statement import Statement
from whisperer.errors import JournalDamagedError
from whisperer.ids import TenantId, UserKey

MEMORY_MB = 1_024
SPILL_MB = 8_192
MOST_THREADS = 4
BATCH_ROWS = 100_000
_MOST_IDENTITIES = 500_000
_identities: dict[Hashable, pa.Table] = {}
"""Keys that were joined into others, of the past that was asked about last: a page asks many questions at once."""

_REMEMBERED = 100_000
"""Answers of a test that are remembered: most properties have few values."""


def analysed(warehouse: Warehouse, tenant: TenantId, question: Question, now: int, tails: list[ShardTail]) -> Answer:
    """Return the answer as of ``now``, ms UTC. Raises QuestionError; UnavailableError where files cannot be read."""
    return asked_again(lambda: _analysed(warehouse, tenant, question, now, tails))


def _analysed(warehouse: Warehouse, tenant: TenantId, question: Question, now: int, tails: list[ShardTail]) -> Answer:
    seen = warehouse.seen(tenant)
    try:
        newest = rows_after(tails, seen.cursors, tenant)
    except JournalDamagedError as error:  # trimmed between the two looks: the next one finds it in the files
        raise FileNotFoundError(str(error)) from error
    erasing = {key: at for tail in tails for key, at in tail.erasing.items()}
    with tempfile.TemporaryDirectory() as spill, _connected(seen, Path(spill)) as connection:
        past = (seen.folder, tenant, tuple(sorted((tail.shard, *tail.version) for tail in tails))) if tails else None
        events = _Events(connection, seen, newest, erasing, past)
        return answer(question, now, events.ask)


def _connected(seen: Seen, spill: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        "threads": min(MOST_THREADS, os.cpu_count() or 1),
        "memory_limit": f"{MEMORY_MB}MB",
        "temp_directory": str(spill),
        "max_temp_directory_size": f"{SPILL_MB}MB",
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=config)
    if seen.folder:
        connection.execute("SET allowed_directories = $folders", {"folders": [seen.folder + "/", f"{spill}/"]})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    return connection


class _Events:
    """The relations that statements are over."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        seen: Seen,
        newest: pa.Table,
        erasing: dict[UserKey, int],
        past: Hashable | None,
    ) -> None:
        self._connection = connection
        self._seen = seen
        self._newest = newest
        self._past = past
        keys, times = pa.array(list(erasing), pa.string()), pa.array(list(erasing.values()), pa.int64())
        self._erasing = pa.table({"key": keys, "erased_at": times})
        self._has_identities = False

    def ask(self, statement: Statement) -> Iterator[pa.RecordBatch]:
        """Carry out a statement, and yield its rows."""
        query = statement.query
        if query.uses_who and not self._has_identities:
            self._join_identities()
            self._has_identities = True
            self._known("history")
        self._view("events", statement.since, statement.until)
        if query.uses_who:
            self._known("known")
        for name, test in query.tests.items():
            self._function(name, test)
        # Read to the end before the next statement: a connection has one result at a time.
        yield from self._connection.sql(statement.text, params=query.parameters).to_arrow_reader(BATCH_ROWS)

    def _join_identities(self) -> None:
        """Create the table ``same``: of all events, or as it was for an earlier question about the same past."""
        if self._past in _identities:
            same = _identities[self._past]
            self._connection.from_arrow(same).create("same")
            return
        self._view("events", None, None)
        create_same(self._connection, only_seen=True)
        if self._past is not None:
            same = self._connection.table("same").to_arrow_table()
            if len(same) <= _MOST_IDENTITIES:
                _identities.clear()
                _identities[self._past] = same

    def _view(self, name: str, since: int | None, until: int | None) -> None:
        files = self._seen.events(self._connection, since, until)
        both = files.union(self._connection.from_arrow(self._newest)) if len(self._newest) else files
        if len(self._erasing):
            erasing = self._connection.from_arrow(self._erasing).set_alias("erasing")
            before = "epoch_ms(least(rows.timestamp, rows.received_at)) <= erasing.erased_at"
            both = both.set_alias("rows").join(erasing, f"erasing.key = rows.user_key AND {before}", how="anti")
        both.create_view(name, replace=True)

    def _known(self, name: str) -> None:
        """Make a view of the events that there are now, with whose each is."""
        [(n_joined,)] = self._connection.execute("SELECT count(*) FROM same").fetchall()
        if name == "history":
            self._view("all_events", None, None)
        rows = self._connection.view("all_events" if name == "history" else "events").set_alias("e")
        if n_joined:
            same = self._connection.table("same").set_alias("same")
            rows = rows.join(same, "same.key = e.user_key", how="left")
            rows = rows.project("e.*, coalesce(same.top, e.user_key) AS who")
        else:
            rows = rows.project("e.*, e.user_key AS who")
        rows.create_view(name, replace=True)

    def _function(self, name: str, test: Test) -> None:
        remembered: dict[str | None, bool] = {}

        def passes(texts: pa.ChunkedArray | pa.Array) -> pa.Array:
            array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
            encoded = pc.dictionary_encode(array, null_encoding="encode")
            found = []
            for text in encoded.dictionary.to_pylist():
                if text not in remembered:
                    if len(remembered) >= _REMEMBERED:
                        remembered.clear()
                    remembered[text] = _passes(test, text)
                found.append(remembered[text])
            return pa.array(found, pa.bool_()).take(encoded.indices)

        with contextlib.suppress(duckdb.InvalidInputException):
            self._connection.remove_function(name)
        self._connection.create_function(
            name,
            passes,
            [sqltypes.VARCHAR],
            sqltypes.BOOLEAN,
            type=func.PythonUDFType.ARROW,
            null_handling=func.FunctionNullHandling.SPECIAL,
        )


def _passes(test: Test, text: str | None) -> bool:
    try:
        return bool(test(text))
    except (msgspec.DecodeError, RecursionError):  # a number or a nesting that only one of the two readers takes
        return bool(test(None))
