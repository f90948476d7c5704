"""Opens a SQLite file that several processes of the application write, and writes to it in one transaction.

`user_version` names the layout; a file of a newer release is refused rather than guessed at.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisperer.errors import UnavailableError

BUSY_TIMEOUT_MS = 10_000
MAX_WAL_BYTES = 64 << 20


def open_sqlite(path: Path, tables: str, version: int, *, what: str, synchronous: str) -> sqlite3.Connection:
    """Open a connection in autocommit mode; a missing file is created, private to its owner, with ``tables``.

    ``synchronous``: "NORMAL" commits survive the death of the process, "FULL" ones a power cut too, for an fsync each.
    Raises UnavailableError, which calls the file ``what``, for one that a newer release made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():  # the WAL's files inherit these permissions
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        wanted = ("journal_mode=WAL", f"synchronous={synchronous}", f"journal_size_limit={MAX_WAL_BYTES}")
        for pragma in (*wanted, "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        _create(connection, tables, version)
        found = _version(connection)
        if found != version:
            raise UnavailableError(f"{what} has layout {found}, this release knows {version}: start a newer one")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def writing(connection: sqlite3.Connection, lock: threading.Lock) -> Iterator[sqlite3.Connection]:
    """Hold one transaction, committed at the end of the block and undone by what it raises."""
    with lock:
        # IMMEDIATE, so that two writers queue; a read lock that has to become a write lock would fail instead.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _create(connection: sqlite3.Connection, tables: str, version: int) -> None:
    if _version(connection) != 0:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) == 0:  # another process may have been first
            for statement in filter(None, map(str.strip, tables.split(";"))):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found
