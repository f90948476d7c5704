"""Defines the sink's tables, and how several processes open its file at once.

`user_version` names the layout; a file of a newer release is refused rather than guessed at.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from whisperer.errors import UnavailableError

VERSION = 1
BUSY_TIMEOUT_MS = 10_000
MAX_WAL_BYTES = 64 << 20

_TABLES = """
CREATE TABLE message (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    send_key TEXT NOT NULL,
    channel TEXT NOT NULL,
    user_key TEXT NOT NULL,
    address TEXT NOT NULL,
    campaign TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    locale TEXT NOT NULL,
    parts BLOB NOT NULL,
    headers BLOB NOT NULL,
    content_hash TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    n_received INTEGER NOT NULL
);
CREATE UNIQUE INDEX message_by_key ON message (tenant, send_key);
CREATE INDEX message_by_tenant ON message (tenant, serial);
CREATE INDEX message_by_user ON message (tenant, user_key, serial);
CREATE INDEX message_by_campaign ON message (tenant, campaign, serial);
CREATE INDEX message_by_channel ON message (tenant, channel, serial);
CREATE TABLE tally (
    tenant TEXT NOT NULL,
    channel TEXT NOT NULL,
    n_messages INTEGER NOT NULL,
    n_presented INTEGER NOT NULL,
    PRIMARY KEY (tenant, channel)
) WITHOUT ROWID;
"""
_FORGOTTEN = """
CREATE TABLE IF NOT EXISTS forgotten (
    tenant TEXT NOT NULL,
    user_hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant, user_hash)
) WITHOUT ROWID
"""
"""Added without a new layout number: a release that does not know it loses nothing."""


def open_connection(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode; a missing file is created, private to its owner.

    Raises UnavailableError for a file that a newer release made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():  # the WAL's files inherit these permissions
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # NORMAL: a commit survives the death of the process and costs no fsync. The shard journals the receipt.
    wanted = ("journal_mode=WAL", "synchronous=NORMAL", f"journal_size_limit={MAX_WAL_BYTES}", "secure_delete=ON")
    for pragma in wanted:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    if _version(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == 0:  # another process may have been first
                for statement in filter(None, map(str.strip, _TABLES.split(";"))):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={VERSION}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    found = _version(connection)
    if found != VERSION:
        raise UnavailableError(f"the sink's file has layout {found}, this release knows {VERSION}: start a newer one")
    connection.execute(_FORGOTTEN)


def _version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found
