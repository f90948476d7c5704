"""Encode and decode a journal's bytes at rest: segment header, record, watermark. docs/storage.md describes them.

Decides the layout and the checksums. Guarantees that a record verifies only at the position, in the epoch and in the
journal it was written for, so neither old bytes in a reused block nor bytes that a client put into a payload pass for a
record. Leaves files, order and recovery to others. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from google_crc32c import extend, value

from whisperer.errors import JournalDamagedError, JournalError

FORMAT_VERSION = 1

_SEGMENT_MAGIC = b"UWJOURNL"
_HEADER = struct.Struct("<8sII16sQQ12x")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size

RECORD_HEAD = struct.Struct("<II")  # length and flag, CRC32C
RECORD_HEAD_BYTES = RECORD_HEAD.size
RECORD_PREFIX = struct.Struct("<QI")  # position, length and flag: under the checksum, before the payload

FIRST_OF_GROUP = 1 << 31
"""Set in the length of the first record of each group. A group is written only after the one before it was synced, so a
valid record with this flag proves that every byte before it was durable.
"""
LENGTH_MASK = FIRST_OF_GROUP - 1

MAX_GROUP_BYTES = (
    1 << 30
)  # one write call takes at most 2 GiB less a page; larger is refused before anything is written

_WATERMARK_MAGIC = b"UWDURABL"
_WATERMARK = struct.Struct("<8s16sQQ")
WATERMARK_BYTES = _WATERMARK.size + _CRC.size


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of every segment file.

    Attributes
    ----------
    journal_id : 16 random bytes, the same in all segments of one journal
    epoch : the incarnation that wrote the segment
    start : position (bytes) of the segment's first record
    """

    journal_id: bytes
    epoch: int
    start: int

    def encode(self) -> bytes:
        head = _HEADER.pack(_SEGMENT_MAGIC, FORMAT_VERSION, HEADER_BYTES, self.journal_id, self.epoch, self.start)
        return head + _CRC.pack(value(head))

    @classmethod
    def decode(cls, data: bytes, name: str) -> SegmentHeader:
        """Decode a header.

        Raises JournalDamagedError, or JournalError (code ``journal_format``) for a version that this code cannot read.
        """
        head = data[: _HEADER.size]
        if len(data) < HEADER_BYTES or _CRC.unpack_from(data, _HEADER.size)[0] != value(head):
            raise JournalDamagedError(f"{name}: the segment header at file offset 0 is damaged")
        magic, version, _, journal_id, epoch, start = _HEADER.unpack(head)
        if magic != _SEGMENT_MAGIC or version != FORMAT_VERSION:
            raise JournalError(f"{name}: journal format {version} is not supported", code="journal_format")
        return cls(journal_id, epoch, start)

    @property
    def record_seed(self) -> int:
        """Checksum state that every record of the segment starts from."""
        return int(value(self.journal_id + self.epoch.to_bytes(8, "little")))


def record_crc(seed: int, position: int, word: int, payload: bytes) -> int:
    """Return the CRC32C over (journal id, epoch) in ``seed``, position, length with flag, and payload."""
    return int(extend(extend(seed, RECORD_PREFIX.pack(position, word)), payload))


@dataclass(frozen=True, slots=True)
class Watermark:
    """A position that was durable when this was written, and the epoch then: lower bounds, never ahead of the truth."""

    journal_id: bytes
    epoch: int
    durable: int

    def encode(self) -> bytes:
        body = _WATERMARK.pack(_WATERMARK_MAGIC, self.journal_id, self.epoch, self.durable)
        return body + _CRC.pack(value(body))

    @classmethod
    def decode(cls, data: bytes) -> Watermark | None:
        """Return None for anything but a whole watermark: it only adds evidence, so it cannot be a reason to stop."""
        body = data[: _WATERMARK.size]
        if len(data) != WATERMARK_BYTES or _CRC.unpack_from(data, _WATERMARK.size)[0] != value(body):
            return None
        magic, journal_id, epoch, durable = _WATERMARK.unpack(body)
        return cls(journal_id, epoch, durable) if magic == _WATERMARK_MAGIC else None
