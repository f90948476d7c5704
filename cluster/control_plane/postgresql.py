"""Decides how PostgreSQL is reached: the driver, how many connections, and how long anybody waits for it.

Guarantees: whatever the server does (refuses, disappears, hangs), each wait for it ends after a time stated here, with
an error; a password is in no error. One connection is used for one transaction at a time. Leaves to others: what the
transactions do, and what their errors mean (:mod:`cluster.control_plane.reach`).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, text

DRIVER = "postgresql+psycopg"
CONNECTIONS = 8
"""Most connections of one process; they are made when they are needed."""
KEPT_CONNECTIONS = 2
"""Of these, how many stay open while nothing is asked."""
POOL_TIMEOUT_S = 3.0
"""How long a transaction waits for one of the process's connections."""
CONNECT_TIMEOUT_S = 3
"""For each address of the server; libpq takes no fractions and nothing below 2."""
STATEMENT_TIMEOUT_MS = 5_000
"""The server ends a statement, and a wait for a lock, after this time."""
ANSWER_TIMEOUT_S = 6.0
"""The client gives a server up that has not answered for this time: one that hangs ends no statement."""
IDLE_IN_TRANSACTION_MS = 30_000
"""The server ends a transaction whose client does nothing for this time: others wait for its lock."""
PATIENT_S = 600.0
"""The same two times for migrations, which may copy tables and wait for each other."""
WRITERS_LOCK = 0x57_48_49_53
"""Any number that nothing else in the database uses."""

_KEEPALIVES = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""A server whose machine is gone is noticed within 11 s even by a connection that only waits."""

_Found = TypeVar("_Found")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer a statement in time."""

    answer_timeout_s = ANSWER_TIMEOUT_S

    def wait(self, gen: Generator[Any, Any, _Found], *args: Any, **more: Any) -> _Found:
        """Wait for an answer as psycopg does. Raises OperationalError when the time is over."""
        try:
            return super().wait(_until(gen, time.monotonic() + self.answer_timeout_s), *args, **more)
        except TimeoutError:
            self.close()  # an answer that still comes must not be taken for that of the next statement
            raise psycopg.OperationalError(f"no answer within {self.answer_timeout_s:g} s") from None


def _until(gen: Generator[Any, Any, _Found], deadline: float) -> Generator[Any, Any, _Found]:
    """Pass on what psycopg's generator waits for; at each of its looks at the clock, look at the deadline."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as end:
        found: _Found = end.value
        return found


def open_postgresql(url: URL) -> Engine:
    """Return an engine for a PostgreSQL URL, with psycopg as its driver. Nothing is connected yet."""
    waits = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
    )
    wanted = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "whisperer", **_KEEPALIVES, "options": waits}
    given = url.query.get("options")
    if isinstance(given, str):
        wanted["options"] = f"{waits} {given}"
    engine = create_engine(
        url.set(drivername=DRIVER, query={name: value for name, value in url.query.items() if name != "options"}),
        connect_args={name: value for name, value in wanted.items() if name not in url.query or name == "options"},
        # Readers see one state of all tables, as they do in SQLite; writers see what those before them committed.
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        pool_size=KEPT_CONNECTIONS,
        max_overflow=CONNECTIONS - KEPT_CONNECTIONS,
        pool_timeout=POOL_TIMEOUT_S,
        pool_use_lifo=True,  # connections that a moment of load needed are not used again, and age
        pool_recycle=1_800,
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", _connect)
    return engine


def _connect(_dialect: object, _record: object, arguments: Any, options: dict[str, Any]) -> BoundedConnection:
    return BoundedConnection.connect(*arguments, **options)


def queue_writer(connection: Connection, *, patient: bool = False) -> None:
    """Wait until no other write transaction is open, and keep others waiting until this one ends.

    So writers see each other's rows as they do in SQLite, and neither deadlock nor collide. ``patient``: as long as
    migrations take.
    """
    if patient:
        driver = connection.connection.driver_connection
        assert isinstance(driver, BoundedConnection)
        driver.answer_timeout_s = PATIENT_S
        connection.execute(text(f"SET LOCAL statement_timeout = {int(PATIENT_S * 1000)}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
