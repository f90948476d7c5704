"""Notes on disk which attempts a provider may have, so that an application that is killed sends none of them twice.

An attempt is noted before its first byte leaves, by a commit that is on the disk; its receipt once it is
there. Whoever asks for a noted attempt again is told what is known:

    its receipt                        it has ended
    it goes on                         another process of this application, which lives, has it under way
    nobody knows what became of it     the process that had it is gone

For the last, the provider may have the message or not: it is the caller's to take it as unknown. Attempts at providers
that take send keys need no note, since repeating them is harmless.

Several processes of one machine share the file. A process of another machine counts as gone `AWAY_MS` after it began an
attempt. The file holds send keys and receipts, no addresses and no texts; all but the newest `KEEP` ended attempts are
deleted, and what never ended after `FORGOTTEN_MS`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from serve_apps.delivery.sqlite_file import open_sqlite, writing
from serve_apps.delivery.together import Together
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.ids import SendKey, TenantId

VERSION = 1
KEEP = 100_000
"""Ended attempts that can be told again; about 30 MB."""
FORGOTTEN_MS = 7 * 86_400_000
AWAY_MS = 900_000
"""More than an attempt can last (`deliveries.MAX_SEND_S`)."""
MAX_TOGETHER = 512
"""Most notes in one transaction."""
_TRIM_SLACK = 1_000

_TABLES = """
CREATE TABLE owner (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started REAL NOT NULL
);
CREATE TABLE attempt (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    send_key TEXT NOT NULL,
    number INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    receipt BLOB,
    UNIQUE (tenant, send_key, number)
);
"""
_BEGIN = "INSERT INTO attempt (tenant, send_key, number, owner, begun_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_KNOWN = (
    "SELECT a.receipt, a.begun_at, a.owner, o.host, o.pid, o.started FROM attempt a JOIN owner o ON o.id = a.owner"
    " WHERE a.tenant = ? AND a.send_key = ? AND a.number = ?"
)
_END = "UPDATE attempt SET receipt = ? WHERE tenant = ? AND send_key = ? AND number = ?"
_TRIM = "DELETE FROM attempt WHERE serial <= ? AND (receipt IS NOT NULL OR begun_at < ?)"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt).decode


class Attempt(NamedTuple):
    """Name one attempt to send one message."""

    tenant: TenantId
    send_key: SendKey
    number: int


class Prior(Enum):
    """Say what is known of an attempt that has no receipt yet."""

    NEW = "new"
    """Nobody began it; it is noted now, as ours."""
    GOES_ON = "goes_on"
    LOST = "lost"
    """It was begun, and whoever had it is gone."""


def attempt_of(dispatch: Dispatch) -> Attempt:
    """Return the attempt that a dispatch asks for."""
    return Attempt(dispatch.tenant, dispatch.send_key, dispatch.attempt)


class AttemptFile:
    """The file. Use from any thread; methods block."""

    def __init__(self, path: Path, *, keep: int = KEEP) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        # FULL: a note that a power cut takes back would be a message sent twice.
        self._connection = open_sqlite(path, _TABLES, VERSION, synchronous="FULL", what="the file of attempts")
        me = psutil.Process()
        self._host = socket.gethostname()
        with writing(self._connection, self._lock) as connection:
            connection.execute("DELETE FROM owner WHERE id NOT IN (SELECT DISTINCT owner FROM attempt)")
            row = connection.execute(
                "INSERT INTO owner (host, pid, started) VALUES (?, ?, ?) RETURNING id",
                (self._host, os.getpid(), me.create_time()),
            ).fetchone()
        self._me: int = row[0]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def begin(self, attempts: Sequence[Attempt], now: int) -> list[Prior | Receipt]:
        """Note attempts as ours, on the disk when it returns; return, in order, what was known. ``now``: ms UTC."""
        found: list[Prior | Receipt] = []
        with writing(self._connection, self._lock) as connection:
            for attempt in attempts:
                if connection.execute(_BEGIN, (*attempt, self._me, now)).rowcount == 1:
                    found.append(Prior.NEW)
                else:
                    found.append(self._known(connection.execute(_KNOWN, attempt).fetchone(), now))
        return found

    def end(self, ended: Sequence[tuple[Attempt, Receipt]], now: int) -> None:
        """Note receipts, and delete what is too old. A receipt of an attempt that is not noted is left out."""
        with writing(self._connection, self._lock) as connection:
            connection.executemany(_END, [(_encode(receipt), *attempt) for attempt, receipt in ended])
            oldest, newest = connection.execute("SELECT min(serial), max(serial) FROM attempt").fetchone()
            if newest is not None and newest - oldest >= self._keep + _TRIM_SLACK:
                connection.execute(_TRIM, (newest - self._keep, now - FORGOTTEN_MS))

    def _known(self, row: tuple[bytes | None, int, int, str, int, float], now: int) -> Prior | Receipt:
        receipt, begun_at, owner, host, pid, started = row
        if receipt is not None:
            return _decode(receipt)
        if owner == self._me:  # who asks knows what it has under way: it could not note the end
            return Prior.LOST
        if host != self._host:
            return Prior.GOES_ON if now - begun_at < AWAY_MS else Prior.LOST
        return Prior.GOES_ON if _lives(pid, started) else Prior.LOST


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class Attempts:
    """The file behind an event loop: notes that come together are committed together. ``clock`` gives ms UTC."""

    def __init__(self, file: AttemptFile, clock: Callable[[], int]) -> None:
        def begin(these: list[Attempt]) -> list[Prior | Receipt]:
            return file.begin(these, clock())

        def end(these: list[tuple[Attempt, Receipt]]) -> list[None]:
            file.end(these, clock())
            return [None] * len(these)

        self._begin = Together(begin, most=MAX_TOGETHER)
        self._end = Together(end, most=MAX_TOGETHER)

    async def begin(self, attempt: Attempt) -> Prior | Receipt:
        """Note an attempt; return what was known of it. Raises sqlite3.Error if it could not be noted."""
        return await self._begin.ask(attempt)

    async def end(self, attempt: Attempt, receipt: Receipt) -> None:
        """Note a receipt. Raises sqlite3.Error if it could not be noted: to a successor the attempt is then lost."""
        await self._end.ask((attempt, receipt))
