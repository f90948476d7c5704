"""The journal for several machines: one Redis stream per shard, one script per group, one writer per epoch.

Guarantees: a position that `append` returned is in the server's synced append-only file (:attr:`Rules.require_fsync`)
and in the memory of :attr:`Rules.wait_replicas` replicas; an older incarnation's group is refused by the script that
would store it; a group whose answer was lost is stored once, however often it is sent; a group that too few replicas
have is kept, but not acknowledged until enough have it or the journal is dead; opening waits for the replicas too, so a
promotion cannot take back what is replayed. Leaves to others: what records mean, when to trim, who promotes a replica
(the host of the URL that says it is master is used), and a replica's disk (WAIT is about its memory).

A position counts the bytes of records, as in files: a record costs its length and 16. It is the first half of the
stream's id; the second is the epoch it was written under. Positions, lengths and checksums form a chain, so that a
missing or altered entry is found when it is read.
"""

from __future__ import annotations

import itertools
import secrets
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import redis
from google_crc32c import extend, value

from actors.journal import redis_scripts as scripts
from actors.journal.redis_place import DEFAULT_RULES, RedisPlace, Rules
from actors.journal.redis_scripts import Script
from actors.journal.redis_server import PassingError, RedisServer, together
from actors.journal.redis_trust import check_server
from whisperer.errors import FencedError, InvariantError, JournalDamagedError, JournalError, TooLargeError
from whisperer.ports import SegmentRange

RECORD_COST = 16
"""What a record costs besides its length: no two have the same position, however short they are."""
MAX_GROUP_BYTES = 256 << 20
"""Redis takes up to 1 GB from a client at once, and copies it; larger groups are refused before anything is sent."""
PAGE_BYTES = 8 << 20
_LARGEST_PAGE = 10_000

_PREFIX = struct.Struct("<QQ")  # position, epoch: under the checksum, before the payload
_CRC = struct.Struct("<I")


class RedisJournal:
    """`whisperer.ports.Journal` on Redis 6.2 or later, made by :meth:`open`.

    Attributes
    ----------
    epoch : this incarnation's fencing number
    name : what errors and logs call it; without user and password
    """

    @classmethod
    def open(cls, place: RedisPlace, shard: int, *, segment_bytes: int, rules: Rules = DEFAULT_RULES) -> Self:
        """Take the next epoch, which fences every earlier incarnation, and check that the newest record is there.

        Raises UnavailableError (no master, or too few replicas, within ``patience_s``), JournalDamagedError, and
        JournalError (the server is not to be trusted with a journal, or refuses).
        """
        server = RedisServer(place, rules)
        try:
            return cls(server, shard, segment_bytes, rules)
        except BaseException:
            server.close()
            raise

    def __init__(self, server: RedisServer, shard: int, segment_bytes: int, rules: Rules) -> None:
        self._keys = _keys(server.place, shard)
        self.name = f"{server.place} {self._keys[0]}"
        self._server = server
        self._rules = rules
        self._segment_bytes = segment_bytes
        self._failure: str | None = None
        server.attempt(lambda client: check_server(client, server.place, rules))
        token = secrets.token_hex(8)
        status, *found = server.attempt(lambda client: self._run(client, scripts.OPEN, token))
        if status != b"done":
            raise JournalDamagedError(f"{self.name}: there are records, but {self._keys[1]} is missing")
        self.epoch = int(found[0])
        self._end = int(found[1])
        self._marks = tuple(_mark(text) for text in found[2])
        self._check_newest()

    @property
    def end(self) -> int:
        """Position after the last durable record."""
        return self._end

    @property
    def oldest(self) -> int:
        """Position of the oldest record kept; everything before it was trimmed."""
        return self._marks[0][0]

    @property
    def trouble(self) -> str | None:
        """Why an append is waiting now; None while nothing is in its way."""
        return self._failure or self._server.trouble

    def segments(self) -> list[SegmentRange]:
        """Return the ranges between marks that hold records, and the open one, oldest first."""
        marks = self._marks
        closed = [
            SegmentRange(start, stop, epoch, closed=True) for (start, epoch), (stop, _) in itertools.pairwise(marks)
        ]
        return [*closed, SegmentRange(marks[-1][0], self._end, self.epoch, closed=False)]

    def append(self, records: Sequence[bytes]) -> list[int]:
        """Store the records with one script; return their positions.

        Raises TooLargeError (nothing happened), FencedError or JournalError (this journal is dead).
        """
        self._check_alive()
        if not records:
            return []
        if sum(map(len, records)) > MAX_GROUP_BYTES:
            raise TooLargeError(f"a group of records is limited to {MAX_GROUP_BYTES} bytes")
        if self._end - self._marks[-1][0] >= self._segment_bytes:
            self.roll()
        positions: list[int] = []
        entries: list[Any] = []
        position = self._end
        for record in records:
            positions.append(position)
            entries += (f"{position}-{self.epoch}", _checksum(position, self.epoch, record), record)
            position += RECORD_COST + len(record)
        self._write(scripts.APPEND, self._end, position, *entries)
        self._end = position
        return positions

    def roll(self) -> int:
        """Close the open segment, unless it is empty; return the position at which the one now open starts."""
        self._check_alive()
        if self._end > self._marks[-1][0]:
            self._write(scripts.ROLL, self._end)
            self._marks = (*self._marks, (self._end, self.epoch))
        return self._end

    def replay(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) in [start, stop), oldest first; ``stop`` None means the end as of this call.

        ``start`` must be a record's position or the end. Raises JournalDamagedError where a record is missing or does
        not verify, or ``start`` lies beyond the end, JournalError (code ``journal_trimmed``) where it lies before
        :attr:`oldest`, and UnavailableError.
        """
        end = self._end if stop is None else min(stop, self._end)
        if start < self.oldest:
            raise JournalError(
                f"{self.name}: records from position {start} to {self.oldest} were trimmed", code="journal_trimmed"
            )
        if start > self._end:
            raise self._damaged(self._end, f"the journal ends here, records before position {start} are missing")
        return self._replay(start, end)

    def read(self, position: int) -> bytes | None:
        """Return the record at a position, or None where it has been trimmed.

        Raises JournalDamagedError, UnavailableError, and InvariantError for a position that was never returned.
        """
        if position < self.oldest:
            return None
        if position >= self._end:
            raise InvariantError(f"{self.name}: position {position} is beyond the end, {self._end}")
        entries = self._page(position, position + 1, 1)
        if not entries:
            if position < self.oldest:  # trimmed meanwhile
                return None
            raise self._damaged(position, "no record")
        return self._verified(position, entries[0])

    def trim(self, before: int) -> None:
        """Drop the closed segments whose records all lie before a position, oldest first."""
        self._check_alive()
        for _ in range(len(self._marks) - 1):
            mark, epoch = self._marks[1]
            if mark > before:
                break
            self._write(scripts.TRIM, f"{mark} {epoch}", mark)
            self._marks = self._marks[1:]

    def close(self) -> None:
        """Append nothing more. Closing twice is harmless; the epoch stays taken until someone takes the next."""
        if self._failure is None:
            self._failure = "it is closed"
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise JournalError(f"{self.name}: the journal accepts nothing more: {self._failure}")

    def _write(self, script: Script, *arguments: Any) -> None:
        """Run a script under this epoch until it succeeds; otherwise the journal is dead."""
        try:
            status, said = self._server.attempt(lambda client: self._run(client, script, self.epoch, *arguments))
        except BaseException as error:
            self._failure = str(error) or type(error).__name__
            if isinstance(error, JournalError) or not isinstance(error, Exception):
                raise
            raise JournalError(f"{self.name}: whether a group was stored is not known: {error}") from error
        if status == b"done":
            return
        if status == b"fenced" and int(said) > self.epoch:
            self._failure = f"epoch {said.decode()} has taken it, this is epoch {self.epoch}"
            raise FencedError(f"{self.name}: {self._failure}")
        self._failure = {
            b"gone": "all of it is gone from the server",
            b"fenced": f"the server is at epoch {said.decode()} and forgot epoch {self.epoch}: it lost what it had",
        }.get(status, f"the server is at position {said.decode()}, acknowledged is everything before {self._end}")
        raise JournalDamagedError(f"{self.name}: {self._failure}")

    def _run(self, client: redis.Redis, script: Script, *arguments: Any) -> list[Any]:
        """Make one attempt; raise PassingError while too few replicas have what was written."""
        command = ("EVALSHA", script.sha, len(self._keys), *self._keys, *arguments)
        n, timeout_ms = self._rules.wait_replicas, int(1000 * self._rules.wait_timeout_s)
        wait = [("WAIT", n, timeout_ms)] if n else []  # on the same connection, whose last write it waits for
        try:
            answer, *replicas = together(client, command, *wait)
        except redis.exceptions.NoScriptError:
            client.script_load(script.text)
            answer, *replicas = together(client, command, *wait)
        if replicas and replicas[0] < n and answer[0] == b"done":
            raise PassingError(f"{replicas[0]} of {n} replicas have the newest records")
        found: list[Any] = answer
        return found

    def _check_newest(self) -> None:
        """Check that the state's end is the newest record's; whoever replays the chain behind it checks that."""
        if self._end == self.oldest:
            return
        newest = self._server.attempt(lambda client: client.xrevrange(self._keys[0], count=1))
        if newest:
            position = _position(newest[0])
            if position + RECORD_COST + len(self._verified(position, newest[0])) == self._end:
                return
        raise self._damaged(self._end, "the newest record before it is missing")

    def _replay(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        position, count = start, 16
        while position < end:
            entries = self._page(position, end, count)
            if not entries:
                raise self._damaged(position, "no record")
            n_bytes = 0
            for entry in entries:
                record = self._verified(position, entry)
                yield position, record
                position += RECORD_COST + len(record)
                n_bytes += len(record)
            count = max(1, min(_LARGEST_PAGE, PAGE_BYTES * len(entries) // max(1, n_bytes)))

    def _page(self, start: int, stop: int, count: int) -> list[Any]:
        """Return at most ``count`` entries at positions in [start, stop)."""
        found = self._server.attempt(
            lambda client: client.xrange(self._keys[0], min=str(start), max=str(stop - 1), count=count)
        )
        return found or []

    def _verified(self, position: int, entry: Any) -> bytes:
        """Return the payload of an entry that must be the one at a position."""
        name, fields = entry
        found, epoch = map(int, name.split(b"-"))
        record: bytes | None = fields.get(b"r")
        if found != position:
            raise self._damaged(position, f"no record; the next is at {found},")
        if record is None or fields.get(b"c") != _checksum(position, epoch, record):
            raise self._damaged(position, "no valid record")
        return record

    def _damaged(self, position: int, why: str) -> JournalDamagedError:
        return JournalDamagedError(f"{self.name}: {why} at journal position {position}")


def _checksum(position: int, epoch: int, record: bytes) -> bytes:
    return _CRC.pack(extend(value(_PREFIX.pack(position, epoch)), record))


def _position(entry: Any) -> int:
    return int(entry[0].partition(b"-")[0])


def _mark(text: bytes) -> tuple[int, int]:
    position, epoch = text.split()
    return int(position), int(epoch)


def delete(place: RedisPlace, shard: int, rules: Rules = DEFAULT_RULES) -> None:
    """Delete a shard's journal for good; a writer that is left finds itself fenced. Raises UnavailableError."""
    server = RedisServer(place, rules)
    try:
        server.attempt(lambda client: client.unlink(*_keys(place, shard)))
    finally:
        server.close()


def _keys(place: RedisPlace, shard: int) -> tuple[str, str, str]:
    prefix = f"{place.prefix}:{{shard-{shard:04d}}}"  # braces: one slot of a cluster
    return f"{prefix}:records", f"{prefix}:state", f"{prefix}:marks"
