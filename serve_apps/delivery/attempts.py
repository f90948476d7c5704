"""Notes on disk which attempts a provider may have, so that an application that is killed sends none of them twice.

An attempt is noted before its first byte leaves, by a commit that is on the disk; its receipt once it is
there. Whoever asks for a noted attempt again is told what is known:

    its receipt                        it has ended
    it goes on                         another process of this application, which lives, has it under way
    nobody knows what became of it     the process that had it is gone

For the last, the provider may have the message or not: its receipt is `unknown`. Attempts at providers that take send
keys need no note, since repeating them is harmless.

Several processes of one machine share the file. A process of another machine counts as gone `AWAY_MS` after it began an
attempt. The file holds send keys and receipts, no addresses and no texts; all but the newest `KEEP` ended attempts are
deleted, and what never ended after `FORGOTTEN_MS`.
"""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from actors.telemetry.logs import Seldom
from serve_apps.delivery.provider import as_kind, deferred, held, receipt
from serve_apps.delivery.sqlite_file import open_sqlite, writing
from serve_apps.delivery.together import Together
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.ids import SendKey, TenantId

VERSION = 1
KEEP = 100_000
"""Ended attempts that can be told again; about 30 MB."""
FORGOTTEN_MS = 7 * 86_400_000
GOES_ON_S = 1.0
"""After which what goes on elsewhere is asked for again."""
AWAY_MS = 900_000
"""More than an attempt can last (`deliveries.MAX_SEND_S`)."""
SAME_START_S = 2.0
"""The start of a process follows from the machine's clock, which may be set."""
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
    account TEXT NOT NULL,
    owner INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    receipt BLOB,
    UNIQUE (tenant, send_key, number)
);
"""
# One statement, a transaction of its own, for all that are noted together: each call of the library gives up the
# interpreter, and waits for it when the event loop is busy.
_BEGIN = "INSERT INTO attempt (tenant, send_key, number, account, owner, begun_at) VALUES {} ON CONFLICT DO NOTHING"
_KNOWN = (
    "SELECT a.serial, a.receipt, a.account, a.begun_at, a.owner, o.host, o.pid, o.started"
    " FROM attempt a JOIN owner o ON o.id = a.owner WHERE a.tenant = ? AND a.send_key = ? AND a.number = ?"
)
_MOVE = "UPDATE attempt SET account = ? WHERE tenant = ? AND send_key = ? AND number = ?"
_END = (
    "WITH ended (receipt, tenant, send_key, number) AS (VALUES {}) UPDATE attempt SET receipt = ended.receipt"
    " FROM ended WHERE attempt.tenant = ended.tenant AND attempt.send_key = ended.send_key"
    " AND attempt.number = ended.number"
)
_TRIM = "DELETE FROM attempt WHERE serial <= ? AND (receipt IS NOT NULL OR begun_at < ?)"

_WHAT = "the file of attempts"

_seldom = Seldom(logging.getLogger(__name__))
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt).decode


class Attempt(NamedTuple):
    """Name one attempt to send one message."""

    tenant: TenantId
    send_key: SendKey
    number: int


class Begun(NamedTuple):
    """Say what is known of an attempt that somebody began and that has no receipt."""

    account: str
    """Who may have the message."""
    goes_on: bool
    """Whether the process that has it lives."""


Known = Begun | Receipt | None
"""None: nobody began it."""


class Recalled(Receipt, array_like=True, frozen=True):
    """Receipt of what an attempt came to earlier: it says nothing about how its account does now."""


def attempt_of(dispatch: Dispatch) -> Attempt:
    """Return the attempt that a dispatch asks for."""
    return Attempt(dispatch.tenant, dispatch.send_key, dispatch.attempt)


class AttemptFile:
    """The file. Use from any thread; methods block."""

    def __init__(self, path: Path, *, keep: int = KEEP) -> None:
        self._keep = keep
        self._n_ended = 0
        """Since it was looked at what is too old."""
        self._lock = threading.Lock()
        """For both connections: a transaction that finds another's would sleep."""
        # FULL: a beginning that a power cut takes back would be a message sent twice.
        self._connection = open_sqlite(path, _TABLES, VERSION, synchronous="FULL", what=_WHAT)
        self._ends = open_sqlite(path, _TABLES, VERSION, synchronous="NORMAL", what=_WHAT)
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
            self._ends.close()

    def begin(self, asked: Sequence[tuple[Attempt, str]], now: int) -> list[Known]:
        """Note attempts, each with the account that it goes to, as ours, on the disk when it returns.

        Returns, in order, what was known; what was known to somebody stays as it was noted. ``now``: ms UTC.
        """
        rows = [(*attempt, account, self._me, now) for attempt, account in asked]
        with self._lock:
            noted = self._connection.execute(*_of_all(_BEGIN, rows))
            if noted.rowcount == len(rows):
                return [None] * len(rows)
            last = noted.lastrowid or 0  # it stays what it was where nothing is inserted
            fresh = set(range(last - noted.rowcount + 1, last + 1))
            return [
                self._known(self._connection.execute(_KNOWN, attempt).fetchone(), fresh, now) for attempt, _ in asked
            ]

    def move(self, moved: Sequence[tuple[Attempt, str]]) -> None:
        """Note that attempts of ours, which their accounts surely did not take, go to other accounts."""
        with writing(self._connection, self._lock) as connection:
            connection.executemany(_MOVE, [(account, *attempt) for attempt, account in moved])

    def end(self, ended: Sequence[tuple[Attempt, Receipt]], now: int) -> None:
        """Note receipts, and delete what is too old. A receipt of an attempt that is not noted is left out.

        They survive the death of this process. A power cut may take the newest back: those are `unknown`, then.
        """
        rows = [(_encode(receipt), *attempt) for attempt, receipt in ended]
        with self._lock:
            self._ends.execute(*_of_all(_END, rows))
            self._n_ended += len(ended)
        if self._n_ended >= _TRIM_SLACK:
            self._trim(now)

    def _trim(self, now: int) -> None:
        self._n_ended = 0
        with writing(self._ends, self._lock) as connection:
            oldest, newest = connection.execute("SELECT min(serial), max(serial) FROM attempt").fetchone()
            if newest is not None and newest - oldest >= self._keep + _TRIM_SLACK:
                connection.execute(_TRIM, (newest - self._keep, now - FORGOTTEN_MS))

    def _known(self, row: tuple[int, bytes | None, str, int, int, str, int, float], fresh: set[int], now: int) -> Known:
        """Return what a row says, None if it is one of the ``fresh``: for the first who asks."""
        serial, receipt, account, begun_at, owner, host, pid, started = row
        if serial in fresh:
            fresh.remove(serial)
            return None
        if receipt is not None:
            return _decode(receipt)
        if owner == self._me:  # who asks knows what it has under way: it could not note the end
            return Begun(account, goes_on=False)
        lives = _lives(pid, started) if host == self._host else now - begun_at < AWAY_MS
        return Begun(account, lives)


def _of_all(statement: str, rows: Sequence[tuple[object, ...]]) -> tuple[str, list[object]]:
    """Return a statement with values for so many rows, and the values."""
    of_one = f"({', '.join('?' * len(rows[0]))})"
    return statement.format(", ".join([of_one] * len(rows))), [value for row in rows for value in row]


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started) < SAME_START_S
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class Attempts:
    """The file behind an event loop: notes that come together are committed together. ``clock`` gives ms UTC."""

    def __init__(self, file: AttemptFile, clock: Callable[[], int]) -> None:
        def begin(these: list[tuple[Attempt, str]]) -> list[Known]:
            return file.begin(these, clock())

        def move(these: list[tuple[Attempt, str]]) -> list[None]:
            file.move(these)
            return [None] * len(these)

        def end(these: list[tuple[Attempt, Receipt]]) -> list[None]:
            file.end(these, clock())
            return [None] * len(these)

        self.begin = Together(begin, most=MAX_TOGETHER).ask
        self.move = Together(move, most=MAX_TOGETHER).ask
        self.end = Together(end, most=MAX_TOGETHER).ask


class Leave:
    """Has one attempt noted before it goes to an account. Called again, it goes to another one.

    Returns None if it may go, or else its receipt.
    """

    def __init__(self, attempts: Attempts, dispatch: Dispatch) -> None:
        self._attempts = attempts
        self._dispatch = dispatch
        self._attempt = attempt_of(dispatch)
        self._is_ours = False
        self.needs_end = False
        """Whether its receipt has to be noted."""

    async def __call__(self, account: str) -> Receipt | None:
        try:
            if self._is_ours:
                await self._attempts.move((self._attempt, account))
                return None
            known = await self._attempts.begin((self._attempt, account))
        except sqlite3.Error as error:
            _seldom.log(logging.ERROR, "file", "an attempt could not be noted, and is not made: %r", error)
            return deferred(self._dispatch, account, "the attempt could not be noted on the disk, and was not made")
        if known is None:
            self._is_ours = self.needs_end = True
            return None
        if isinstance(known, Receipt):
            return as_kind(Recalled, known)
        if known.goes_on:
            return held(self._dispatch, account, "another process has this attempt under way", GOES_ON_S)
        self.needs_end = True
        why = "the process that had this attempt is gone: the provider may have the message"
        return as_kind(Recalled, receipt(self._dispatch, Verdict.UNKNOWN, known.account, detail=why))

    async def end(self, answer: Receipt) -> None:
        """Note the receipt. What cannot be noted is logged: to a successor the attempt is lost."""
        try:
            await self._attempts.end((self._attempt, answer))
        except sqlite3.Error as error:
            _seldom.log(logging.ERROR, "file", "a receipt could not be noted: %r", error)
