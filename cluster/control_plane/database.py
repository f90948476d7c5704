"""Opens the control plane's database and brings its schema up to date.

SQLite runs in WAL mode with foreign keys on and waits for other processes instead of failing; write transactions begin
immediately, so that two writers queue instead of deadlocking when they upgrade their locks. The same code runs on
PostgreSQL (:mod:`cluster.control_plane.postgresql`), where an advisory lock makes writers queue, and one process
migrate while the others wait. A database error names the statement but never its values: channels hold secrets, and
errors are logged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from cluster.errors import SettingsError

BUSY_TIMEOUT_MS = 15_000
HEAD_REVISION = "0012"
_MIGRATION_LOCK = 0x57_48_49_53  # any number that nothing else in the database uses
MIGRATIONS = Path(__file__).parent / "migrations"
_POSTGRESQL = "postgresql"


def parse(url: str) -> URL:
    """Return the parts of a database URL. Raises SettingsError, which does not repeat it: it may hold a password."""
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "control_plane.url is no database URL: write postgresql://user:password@host:5432/name, with %40 for an @ "
            "in the password"
        ) from None


def open_engine(url: str) -> Engine:
    """Open the database at a SQLAlchemy URL; a new SQLite file is readable by its owner alone.

    ``postgresql://`` needs no name of a driver. Raises SettingsError.
    """
    parsed = parse(url)
    if parsed.get_backend_name() in (_POSTGRESQL, "postgres"):
        from cluster.control_plane.postgresql import open_postgresql  # the driver takes 0.1 s of CPU

        return open_postgresql(parsed)
    if parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():  # the journal and WAL files that SQLite makes inherit these permissions
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" below, not the driver, opens transactions
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("whisperer_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine, *, patient: bool = False) -> Iterator[Connection]:
    """Run a write transaction, one at a time: committed at the end, rolled back on an exception.

    ``patient``: it may take, and wait for, as long as a migration.
    """
    if engine.dialect.name != _POSTGRESQL:
        with engine.connect().execution_options(whisperer_writes=True) as connection, connection.begin():
            yield connection
        return
    from cluster.control_plane.postgresql import queue_writer

    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        queue_writer(connection, patient=patient)
        yield connection


def revision(connection: Connection) -> str | None:
    """Return the schema's Alembic revision, or None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables. Cheap when there is nothing to do, and safe from several processes at once."""
    with engine.connect() as connection:
        if revision(connection) == HEAD_REVISION:
            return
    with writing(engine, patient=True) as connection:
        if revision(connection) != HEAD_REVISION:  # another process may have migrated first
            _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # imported here: the usual start finds nothing to migrate
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
