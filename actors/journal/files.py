"""The embedded journal: segment files in one folder, one writer, one fdatasync per group.

Guarantees: a position that `append` returned survives kill -9 of the process and a power cut; a group that failed was
not acknowledged, and its bytes are cut off; the journal is dead after any failure. Leaves to others: what records mean,
when to trim, and the loss of the disk itself (Redis Streams with replicas covers that).

One thread appends, rolls, trims and closes; `read` and `replay` may run at the same time in other threads.
"""

from __future__ import annotations

import bisect
import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from actors.files.fsync import make_folder_durably, sync_folder
from actors.journal.fence import Fence
from actors.journal.format import (
    FIRST_OF_GROUP,
    LENGTH_MASK,
    MAX_GROUP_BYTES,
    RECORD_HEAD,
    RECORD_HEAD_BYTES,
    SegmentHeader,
    Watermark,
    record_crc,
)
from actors.journal.recovery import WATERMARK_NAME, recover
from actors.journal.segment import Segment
from whisperer.errors import FencedError, InvariantError, JournalDamagedError, JournalError, TooLargeError
from whisperer.ports import SegmentRange

DEFAULT_SEGMENT_BYTES = 64 << 20
LOCK_NAME = "lock"

_log = logging.getLogger(__name__)


class FileJournal:
    """`whisperer.ports.Journal` on a local file system, made by :meth:`open`.

    Attributes
    ----------
    epoch : this incarnation's fencing number
    n_bytes_cut : length of the torn tail that opening removed
    trouble : always None: a disk that cannot take a group kills the journal at once
    """

    trouble: str | None = None

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        takeover_timeout_s: float | None = None,
        sync: Callable[[int], None] = os.fdatasync,
        journal_id: bytes | None = None,
    ) -> Self:
        """Take the fence, recover, and begin the next epoch in a new segment.

        Parameters
        ----------
        folder : created when missing; nothing else may be kept in it
        segment_bytes : a segment that has reached this size is closed before the next group
        takeover_timeout_s : see :meth:`Fence.take`; None never ends the holder
        sync : makes a file descriptor's data durable or raises OSError
        journal_id : 16 bytes that name a new journal, random unless given; an existing one keeps its own

        Raises FencedError (another process holds it), JournalDamagedError (naming file and offset), JournalError.
        """
        path = Path(folder)
        try:
            make_folder_durably(path)
            fence = Fence.take(path / LOCK_NAME, takeover_timeout_s)
        except OSError as error:
            raise JournalError(f"{path}: cannot open the journal: {error}") from error
        try:
            return cls(path, fence, segment_bytes, sync, journal_id)
        except OSError as error:
            fence.release()
            raise JournalError(f"{path}: cannot recover the journal: {error}") from error
        except BaseException:
            fence.release()
            raise

    def __init__(
        self, folder: Path, fence: Fence, segment_bytes: int, sync: Callable[[int], None], journal_id: bytes | None
    ) -> None:
        found = recover(folder, sync)
        self.folder = folder
        self.epoch = found.epoch + 1
        self.n_bytes_cut = found.n_bytes_cut
        self._fence = fence
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._durable = found.end
        self._failure: str | None = None
        self._fd = self._watermark_fd = -1
        self._journal_id = (
            found.segments[-1].header.journal_id if found.segments else journal_id or secrets.token_bytes(16)
        )
        self._segments = found.segments
        try:
            self._begin_segment()
            self._watermark_fd = os.open(folder / WATERMARK_NAME, os.O_WRONLY | os.O_CREAT, 0o600)
            self._write_watermark()
            os.fsync(self._watermark_fd)
            sync_folder(folder)
        except BaseException:
            self._close_files()
            raise
        if found.n_bytes_cut:
            _log.warning("%s: cut a torn tail of %d bytes at position %d", folder, found.n_bytes_cut, found.end)

    @property
    def end(self) -> int:
        """Position after the last durable record."""
        return self._durable

    @property
    def oldest(self) -> int:
        """Position of the oldest record kept; everything before it was trimmed."""
        return self._segments[0].start

    def segments(self) -> list[SegmentRange]:
        """Return every segment that holds records, and the open one, oldest first."""
        starts = [s.start for s in self._segments]
        ranges = [
            SegmentRange(segment.start, end, segment.epoch, closed=True)
            for segment, end in zip(self._segments[:-1], starts[1:], strict=True)
            if segment.start < end
        ]
        return [*ranges, SegmentRange(starts[-1], self._durable, self.epoch, closed=False)]

    def append(self, records: Sequence[bytes]) -> list[int]:
        """Write the records with one write and make them durable with one sync; return their positions.

        Raises TooLargeError (nothing happened), FencedError or JournalError (this journal is dead).
        """
        self._check_alive()
        if not records:
            return []
        if sum(map(len, records)) + RECORD_HEAD_BYTES * len(records) > MAX_GROUP_BYTES:
            raise TooLargeError(f"a group of records is limited to {MAX_GROUP_BYTES} bytes")
        segment = self._segments[-1]
        if self._durable - segment.start >= self._segment_bytes:
            self.roll()
            segment = self._segments[-1]
        group, positions = _encode_group(segment.header.record_seed, self._durable, records)
        try:
            written = os.pwrite(self._fd, group, segment.offset_of(self._durable))
            if written != len(group):
                raise OSError(f"short write: {written} of {len(group)} bytes")
            self._sync(self._fd)
            self._durable += len(group)
            self._write_watermark()
        except OSError as error:
            raise self._die(f"a group of {len(group)} bytes was not stored: {error}") from error
        return positions

    def roll(self) -> int:
        """Close the open segment, unless it is empty; return the position at which the one now open starts."""
        self._check_alive()
        if self._durable > self._segments[-1].start:
            try:
                self._begin_segment()
            except OSError as error:
                raise self._die(f"a new segment was not created: {error}") from error
        return self._durable

    def replay(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) in [start, stop), oldest first; ``stop`` None means the end as of this call.

        ``start`` must be a record's position or the end. Raises JournalDamagedError where a record does not verify or
        ``start`` lies beyond the end (whoever knows such a position has seen records that are gone), and JournalError
        (code ``journal_trimmed``) where it lies before :attr:`oldest`: the gap would go unnoticed.
        """
        end = self._durable if stop is None else min(stop, self._durable)
        if start < self.oldest:
            raise JournalError(
                f"{self.folder}: records from position {start} to {self.oldest} were trimmed", code="journal_trimmed"
            )
        if start > self._durable:
            raise JournalDamagedError(
                f"{self._segments[-1].path}: the journal ends at position {self._durable}, records before position "
                f"{start} are missing"
            )
        return self._replay(self._segments, start, end)

    def read(self, position: int) -> bytes | None:
        """Return the record at a position, or None where it has been trimmed.

        Raises JournalDamagedError where it does not verify, InvariantError for a position that was never returned.
        """
        segments = self._segments
        if position < segments[0].start:
            return None
        if position >= self._durable:
            raise InvariantError(f"{self.folder}: position {position} is beyond the end, {self._durable}")
        at = bisect.bisect_right(segments, position, key=_start) - 1
        segment, stop = segments[at], _stop(segments, at, self._durable)
        try:
            record = segment.read(position, stop)
        except FileNotFoundError:
            return None
        if record is None:
            raise segment.damaged(position, "no valid record")
        return record

    def trim(self, before: int) -> None:
        """Delete the closed segments whose records all lie before a position, oldest first."""
        self._check_alive()
        segments = self._segments
        n_drop = sum(_stop(segments, at, self._durable) <= before for at in range(len(segments) - 1))
        self._segments = segments[n_drop:]
        for segment in segments[:n_drop]:
            segment.path.unlink(missing_ok=True)
        if n_drop:
            sync_folder(self.folder)

    def close(self) -> None:
        """Release the fence. Closing twice is harmless."""
        try:
            if self._failure is None:
                self._failure = "it is closed"
                os.fsync(self._watermark_fd)
        except OSError as error:
            raise JournalError(f"{self.folder}: {WATERMARK_NAME} was not synced: {error}") from error
        finally:
            self._close_files()
            self._fence.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _replay(self, segments: tuple[Segment, ...], start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for at, segment in enumerate(segments):
            stop = min(end, _stop(segments, at, end))
            reached = max(start, segment.start)
            if reached >= stop:
                continue
            for position, record in segment.records(reached, stop):
                yield position, record
                reached = position + RECORD_HEAD_BYTES + len(record)
            if reached != stop:
                raise segment.damaged(reached, "no valid record")

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise JournalError(f"{self.folder}: the journal accepts nothing more: {self._failure}")
        if not self._fence.is_held():
            self._failure = "its lock file was deleted or replaced"
            raise FencedError(f"{self.folder}: {self._failure}, another process may be writing")

    def _die(self, why: str) -> JournalError:
        """Poison the journal and cut what was not acknowledged, so that nobody reads it back as if it were stored."""
        self._failure = why
        segment = self._segments[-1]
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, segment.offset_of(self._durable))
        return JournalError(f"{self.folder}: {why}")

    def _begin_segment(self) -> None:
        segment = Segment.create(self.folder, SegmentHeader(self._journal_id, self.epoch, self._durable))
        fd = os.open(segment.path, os.O_RDWR)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._segments = (*self._segments, segment)

    def _write_watermark(self) -> None:
        mark = Watermark(self._journal_id, self.epoch, self._durable).encode()
        if os.pwrite(self._watermark_fd, mark, 0) != len(mark):
            raise OSError(f"{WATERMARK_NAME}: short write")

    def _close_files(self) -> None:
        for fd in (self._fd, self._watermark_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._watermark_fd = -1


def _encode_group(seed: int, start: int, records: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """Return the group's bytes and the records' positions."""
    parts: list[bytes] = []
    positions: list[int] = []
    position, flag = start, FIRST_OF_GROUP
    for record in records:
        word = len(record) | flag
        parts.append(RECORD_HEAD.pack(word, record_crc(seed, position, word, record)))
        parts.append(record)
        positions.append(position)
        position += RECORD_HEAD_BYTES + (word & LENGTH_MASK)
        flag = 0
    return b"".join(parts), positions


def _start(segment: Segment) -> int:
    return segment.start


def _stop(segments: Sequence[Segment], at: int, end: int) -> int:
    """Return the position at which a segment's records end."""
    return segments[at + 1].start if at + 1 < len(segments) else end
