"""Defines the sink's tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from serve_apps.delivery.sqlite_file import open_sqlite

VERSION = 1

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
    # NORMAL: a commit survives the death of the process and costs no fsync. The shard journals the receipt.
    connection = open_sqlite(path, _TABLES, VERSION, what="the sink's file", synchronous="NORMAL")
    connection.execute(_FORGOTTEN)
    return connection
