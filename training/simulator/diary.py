"""Remember the response side in one SQLite file: histories, occasions, what is due, how far the sink was read.

Guarantees: the changes of one ``writing`` block are kept as a whole or not at all, even after a kill; nothing grows
without bound as long as the owner calls ``close_before`` and ``forget_before``. Safe to use from two threads. A crash
of the machine may lose the last moments, which costs a few responses.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from .history import History
from .occasion import GroundTruth, Occasion
from .responses import Response

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (user TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS occasion (
  id TEXT PRIMARY KEY, user TEXT NOT NULL, stamp_ms INTEGER NOT NULL, settled INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS occasion_of_user ON occasion (user, stamp_ms);
CREATE INDEX IF NOT EXISTS occasion_at ON occasion (stamp_ms);
CREATE INDEX IF NOT EXISTS occasion_open ON occasion (stamp_ms) WHERE NOT settled;
CREATE TABLE IF NOT EXISTS response (
  id TEXT PRIMARY KEY, due_ms INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS response_due ON response (due_ms);
"""
_pack = msgspec.msgpack.encode


class Diary:
    """Store everything in ``path``, or in memory without one.

    ``place`` and ``lived_ms`` say how far the simulation is known here (the next event's place, simulated ms UTC);
    ``serial`` is the last message read from the sink.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._lock = threading.RLock()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self.truth = self._meta("truth", GroundTruth) or GroundTruth()
        self.place, self.lived_ms, self.serial = self._meta("at", list[int]) or [0, 0, 0]
        decode = msgspec.msgpack.Decoder(History).decode
        rows = self._db.execute("SELECT user, body FROM history")
        self._histories = {user: decode(body) for user, body in rows}
        self._changed: set[str] = set()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make everything in the block one change. One block at a time."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield
                rows = [(user, _pack(self._histories[user])) for user in self._changed if user in self._histories]
                self._db.executemany("INSERT OR REPLACE INTO history VALUES (?, ?)", rows)
                self._set_meta("at", [self.place, self.lived_ms, self.serial])
                self._set_meta("truth", self.truth)
                self._db.execute("COMMIT")
                self._changed.clear()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def knows(self, user: str) -> bool:
        """Return whether the user has a history."""
        return user in self._histories

    def history(self, user: str, at_ms: int) -> History:
        """Return a user's history, started at ``at_ms`` if there is none; changes to it are kept with the block."""
        found = self._histories.get(user)
        if found is None:
            found = self._histories[user] = History(at_ms, at_ms)
        self._changed.add(user)
        return found

    def forget_before(self, lived_ms: int) -> None:
        """Drop the histories of users who are long gone."""
        gone = [user for user, history in self._histories.items() if history.forgotten(lived_ms)]
        for user in gone:
            del self._histories[user]
        self._db.executemany("DELETE FROM history WHERE user = ?", [(user,) for user in gone])

    def put(self, occasion: Occasion) -> None:
        """Store an occasion."""
        row = (occasion.id, occasion.user, occasion.stamp_ms, occasion.settled, _pack(occasion))
        self._db.execute("INSERT OR REPLACE INTO occasion VALUES (?, ?, ?, ?, ?)", row)

    def newest_occasion(self, user: str, since_ms: int, until_ms: int) -> Occasion | None:
        """Return the user's newest occasion stamped within (since_ms, until_ms]."""
        query = "SELECT body FROM occasion WHERE user = ? AND stamp_ms > ? AND stamp_ms <= ? ORDER BY stamp_ms DESC"
        return next(self._occasions(query + " LIMIT 1", (user, since_ms, until_ms)), None)

    def unsettled(self, until_ms: int) -> list[Occasion]:
        """Return occasions up to ``until_ms`` for which it is not decided yet what happens without a message."""
        query = "SELECT body FROM occasion WHERE stamp_ms <= ? AND NOT settled ORDER BY stamp_ms, id LIMIT 5000"
        return list(self._occasions(query, (until_ms,)))

    def close_before(self, stamp_ms: int) -> None:
        """Sum up and drop the occasions before ``stamp_ms``: no message is expected for them any more."""
        query = "SELECT body FROM occasion WHERE stamp_ms < ? AND settled ORDER BY stamp_ms, id"
        for occasion in list(self._occasions(query, (stamp_ms,))):
            self.truth.add(occasion)
        self._db.execute("DELETE FROM occasion WHERE stamp_ms < ? AND settled", (stamp_ms,))

    def schedule(self, responses: Sequence[Response]) -> None:
        """Store responses to be carried out later; known ones are left alone."""
        rows = [(response.id, response.due_ms, _pack(response)) for response in responses]
        self._db.executemany("INSERT OR IGNORE INTO response VALUES (?, ?, ?)", rows)

    def due(self, now_ms: int, limit: int) -> list[Response]:
        """Return what is due by now, oldest first."""
        decode = msgspec.msgpack.Decoder(Response).decode
        with self._lock:
            query = "SELECT body FROM response WHERE due_ms <= ? ORDER BY due_ms, id LIMIT ?"
            return [decode(body) for (body,) in self._db.execute(query, (now_ms, limit))]

    def done(self, responses: Sequence[Response]) -> None:
        """Drop responses that were carried out."""
        self._db.executemany("DELETE FROM response WHERE id = ?", [(response.id,) for response in responses])

    def _occasions(self, query: str, values: tuple[Any, ...]) -> Iterator[Occasion]:
        decode = msgspec.msgpack.Decoder(Occasion).decode
        return (decode(body) for (body,) in self._db.execute(query, values))

    def _meta(self, name: str, kind: Any) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else msgspec.msgpack.decode(row[0], type=kind)

    def _set_meta(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, _pack(value)))
