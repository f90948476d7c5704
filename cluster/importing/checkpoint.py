"""Stores an import's progress on disk: the rows settled without a gap, their sums, and the rejected rows.

After a kill at any moment the file states that all rows up to N are acknowledged, skipped or rejected, with their
counts. Batches are answered out of order, so rows are settled a chunk at a time, oldest first; rows beyond N are sent
again with the same messageIds. A checkpoint does not expire. Only one import of a file and map runs at a time.
"""

from __future__ import annotations

import fcntl
import os
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from whisperer.errors import ConflictError

from .chunk import MappedChunk, Outgoing, Reject

SAVE_EVERY_S = 1.0


class Totals(msgspec.Struct):
    """Sums over all runs. ``rows`` = ``sent`` + all of ``skipped`` + all of ``rejected``."""

    file: str
    file_id: str
    map_id: str
    tenant: str
    rows: int = 0
    sent: int = 0
    skipped: dict[str, int] = {}
    rejected: dict[str, int] = {}
    rejects_bytes: int = 0
    finished: bool = False

    @property
    def n_skipped(self) -> int:
        return sum(self.skipped.values())

    @property
    def n_rejected(self) -> int:
        return sum(self.rejected.values())


@dataclass(slots=True)
class _OpenChunk:
    last_row: int
    n_rows: int
    n_waiting: int
    n_sent: int
    skipped: Counter[str]
    rejects: list[Reject]


class Ledger:
    """The checkpoint of one import, open for this process only. Raises ConflictError if another process holds it."""

    def __init__(
        self, folder: Path, fresh: Totals, *, restart: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "checkpoint.json"
        self.rejects_path = folder / f"{Path(fresh.file).name}.rejects.jsonl"
        self._clock = clock
        self._saved_at = clock()
        self._open: deque[_OpenChunk] = deque()
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ConflictError(f"another import of {fresh.file} is running", code="import_running") from error
        self.totals = fresh if restart else (_loaded(self.path) or fresh)
        self.resumed_from = self.read_to = self.totals.rows
        self._rejects = self.rejects_path.open("ab")
        self._rejects.truncate(self.totals.rejects_bytes)

    @property
    def n_open(self) -> int:
        """Chunks that have been read but are not settled yet."""
        return len(self._open)

    def opened(self, chunk: MappedChunk) -> None:
        """Record that a chunk has been read; chunks come in file order."""
        self.read_to += chunk.n_rows
        waiting = len(chunk.events)
        self._open.append(_OpenChunk(self.read_to, chunk.n_rows, waiting, waiting, chunk.skipped, list(chunk.rejects)))
        self._advance()

    def settle(self, events: list[Outgoing], rejects: list[Reject]) -> None:
        """Record the answer to a batch: these events, in row order, of which ``rejects`` were not accepted."""
        rows = [event.row for event in events]
        refused = sorted(rejects, key=lambda reject: reject.row)
        refused_rows = [reject.row for reject in refused]
        done = told = 0
        for chunk in self._open:
            until = bisect_right(rows, chunk.last_row, done)
            refused_until = bisect_right(refused_rows, chunk.last_row, told)
            chunk.n_waiting -= until - done
            chunk.n_sent -= refused_until - told
            chunk.rejects += refused[told:refused_until]
            done, told = until, refused_until
            if done == len(rows):
                break
        self._advance()

    def _advance(self) -> None:
        totals = self.totals
        while self._open and self._open[0].n_waiting == 0:
            chunk = self._open.popleft()
            totals.rows += chunk.n_rows
            totals.sent += chunk.n_sent
            totals.skipped = dict(Counter(totals.skipped) + chunk.skipped)
            totals.rejected = dict(Counter(totals.rejected) + Counter(reject.code for reject in chunk.rejects))
            for reject in sorted(chunk.rejects, key=lambda reject: reject.row):
                totals.rejects_bytes += self._rejects.write(_line(reject))
        if self._clock() - self._saved_at >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Make the current state durable: first the rejects, because the checkpoint counts their bytes."""
        self._rejects.flush()
        os.fsync(self._rejects.fileno())
        beside = self.path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(self.totals)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        self._saved_at = self._clock()

    def close(self) -> None:
        self._rejects.close()
        if not self.totals.rejects_bytes:
            self.rejects_path.unlink(missing_ok=True)
        self._lock.close()


def _loaded(path: Path) -> Totals | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Totals)
    except FileNotFoundError:
        return None


def _line(reject: Reject) -> bytes:
    head = {"row": reject.row, "code": reject.code, "message": reject.message, "messageId": reject.message_id}
    return msgspec.json.encode({**head, "event": msgspec.Raw(reject.event)}) + b"\n"
