"""Read and create one segment file: its name, its header, its records.

Guarantees: every record returned was verified against its checksum; reading is sequential in large pieces. Decides
nothing about what damage means: it reports where the valid records end and how it knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google_crc32c import extend

from actors.files.fsync import create_durably
from actors.journal.format import (
    FIRST_OF_GROUP,
    HEADER_BYTES,
    LENGTH_MASK,
    RECORD_HEAD,
    RECORD_HEAD_BYTES,
    RECORD_PREFIX,
    SegmentHeader,
    record_crc,
)
from whisperer.errors import JournalDamagedError

SEGMENT_SUFFIX = ".journal"
READ_BYTES = 1 << 22

_NAME = re.compile(r"(\d{20})-(\d{10})\.journal\Z")


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment file and its header. Offsets in the file are ``HEADER_BYTES + position - start``."""

    path: Path
    header: SegmentHeader

    @property
    def start(self) -> int:
        return self.header.start

    @property
    def epoch(self) -> int:
        return self.header.epoch

    def offset_of(self, position: int) -> int:
        """Return the offset in the file of a position in the journal."""
        return HEADER_BYTES + position - self.header.start

    def end_of_file(self) -> int:
        """Return the position at which the file ends, whatever its last bytes are worth."""
        return self.header.start + self.path.stat().st_size - HEADER_BYTES

    @classmethod
    def create(cls, folder: Path, header: SegmentHeader) -> Segment:
        """Create a durable, empty segment. Raises OSError."""
        path = folder / f"{header.start:020d}-{header.epoch:010d}{SEGMENT_SUFFIX}"
        create_durably(path, header.encode())
        return cls(path, header)

    @classmethod
    def load(cls, path: Path) -> Segment:
        """Read the header and compare it with the name. Raises JournalDamagedError."""
        with path.open("rb") as file:
            header = SegmentHeader.decode(file.read(HEADER_BYTES), str(path))
        named = _NAME.match(path.name)
        if named is None or (int(named[1]), int(named[2])) != (header.start, header.epoch):
            raise JournalDamagedError(
                f"{path}: the name disagrees with the header at file offset 0 "
                f"(position {header.start}, epoch {header.epoch})"
            )
        return cls(path, header)

    def damaged(self, position: int, why: str) -> JournalDamagedError:
        """Return an error that names the file and the offset of a position."""
        return JournalDamagedError(
            f"{self.path}: {why} at file offset {self.offset_of(position)} (journal position {position})"
        )

    def records(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, payload) of the records in [start, stop), up to the first that does not verify.

        ``start`` is a record's position; a record that reaches beyond ``stop`` is not returned.
        """
        seed = self.header.record_seed
        unpack_head, pack_prefix = RECORD_HEAD.unpack_from, RECORD_PREFIX.pack
        position = start
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset_of(start))
            buffer, at = b"", 0
            while position < stop:
                if at + RECORD_HEAD_BYTES > len(buffer):
                    buffer, at = _more(file.fileno(), buffer, at, RECORD_HEAD_BYTES), 0
                    if len(buffer) < RECORD_HEAD_BYTES:
                        return
                word, crc = unpack_head(buffer, at)
                size = RECORD_HEAD_BYTES + (word & LENGTH_MASK)
                if position + size > stop:
                    return
                if at + size > len(buffer):
                    buffer, at = _more(file.fileno(), buffer, at, size), 0
                    if len(buffer) < size:
                        return
                payload = buffer[at + RECORD_HEAD_BYTES : at + size]
                if extend(extend(seed, pack_prefix(position, word)), payload) != crc:
                    return
                yield position, payload
                position += size
                at += size

    def read(self, position: int, stop: int) -> bytes | None:
        """Return the payload of the record at a position, or None where no valid record ending by ``stop`` starts."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            head = os.pread(fd, RECORD_HEAD_BYTES, self.offset_of(position))
            if len(head) < RECORD_HEAD_BYTES:
                return None
            word, crc = RECORD_HEAD.unpack(head)
            length = word & LENGTH_MASK
            if position + RECORD_HEAD_BYTES + length > stop:
                return None
            payload = os.pread(fd, length, self.offset_of(position) + RECORD_HEAD_BYTES)
        finally:
            os.close(fd)
        return payload if record_crc(self.header.record_seed, position, word, payload) == crc else None

    def valid_group_after(self, position: int) -> int | None:
        """Find a valid first-of-group record after ``position``, looking at every byte; return its position or None."""
        with self.path.open("rb") as file:
            file.seek(self.offset_of(position))
            tail = file.read()
        seed = self.header.record_seed
        # The flag is the top bit of the length's last byte, and no length exceeds the tail: few bytes can be that byte.
        last_byte = re.compile(b"[\\x80-\\x%02x]" % (0x80 | min(len(tail) >> 24, 0x7F)), re.DOTALL)
        for match in last_byte.finditer(tail, 4):
            at = match.start() - 3
            if at + RECORD_HEAD_BYTES > len(tail):
                return None
            word, crc = RECORD_HEAD.unpack_from(tail, at)
            payload_at, length = at + RECORD_HEAD_BYTES, word ^ FIRST_OF_GROUP
            if payload_at + length > len(tail):
                continue
            if record_crc(seed, position + at, word, tail[payload_at : payload_at + length]) == crc:
                return position + at
        return None


def closed_segment(folder: Path, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position, record) of the closed segment [first, last) of a journal that another process may be writing to.

    Raises JournalDamagedError where it is not there whole.
    """
    for path in sorted(folder.glob(f"{first:020d}-*{SEGMENT_SUFFIX}")):
        segment = Segment.load(path)
        if segment.end_of_file() < last:
            continue  # left empty by an earlier incarnation
        reached = first
        for position, record in segment.records(first, last):
            yield position, record
            reached = position + RECORD_HEAD_BYTES + len(record)
        if reached != last:
            raise segment.damaged(reached, "no valid record")
        return
    raise JournalDamagedError(f"{folder}: no segment holds positions {first} to {last}")


def records_between(folder: Path, first: int | None, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position, record) of [first, last) of a journal that another process is writing to.

    ``last`` is a position up to which everything is durable; ``first`` is a record's position, or None for the oldest.
    Raises JournalDamagedError where one is missing, for instance because it was trimmed meanwhile.
    """
    named = ((match, folder / match.string) for path in folder.iterdir() if (match := _NAME.match(path.name)))
    places = sorted((int(match[1]), int(match[2]), path) for match, path in named)
    reached = first
    for at, (start, _, path) in enumerate(places):
        stop = min(last, places[at + 1][0]) if at + 1 < len(places) else last
        if reached is None:
            reached = start
        if start > reached or reached >= stop:
            continue
        for position, record in Segment.load(path).records(reached, stop):
            yield position, record
            reached = position + RECORD_HEAD_BYTES + len(record)
    if reached is not None and reached < last:
        raise JournalDamagedError(f"{folder}: no record at position {reached}, of those up to {last}")


def _more(fd: int, buffer: bytes, at: int, need: int) -> bytes:
    """Return the buffer's unread rest, read on to at least ``need`` bytes unless the file ends sooner."""
    pieces = [buffer[at:]]
    have = len(pieces[0])
    while have < need:
        piece = os.read(fd, max(READ_BYTES, need - have))
        if not piece:
            break
        pieces.append(piece)
        have += len(piece)
    return b"".join(pieces)
