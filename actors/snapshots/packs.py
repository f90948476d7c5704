"""Write and read packs: the new chunks of one snapshot in one file, with the index of the whole snapshot at its end.

An index names every chunk of every table, whether it lies in its own pack (number 0) or, unchanged, in an older one.
Guarantees: nothing in a pack is believed before its trailer and index verify. Leaves to :mod:`actors.snapshots.store`
what packs are called, when they count, and when they are deleted.

A pack is: 16 bytes of head (``UWSNPACK``, u32 version, u32 zero), the chunks, the index (msgpack of :class:`Index`),
and a trailer of 32 bytes: u64 offset and u64 length of the index, u32 CRC32C of it, u32 version, ``UWSNPACK``.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import pyarrow as pa
from google_crc32c import value

from actors.snapshots import chunks
from actors.snapshots.chunks import Chunk, Compression, StoredTable
from whisperer.errors import UNREADABLE, DamagedError

VERSION = 1
OWN = 0
"""Number, in an index, of the pack that it lies in."""
SYNC_BYTES = 8 << 20
"""Written at once before it is made durable: a flood of dirty pages would delay the journal on the same disk."""
FULL_ENOUGH = 0.5
"""A pack with less than this share still in use is left behind: what is in use of it is written again."""

_MAGIC = b"UWSNPACK"
_HEAD = struct.Struct("<8sII")
_TRAILER = struct.Struct("<QQII8s")
HEAD_BYTES, TRAILER_BYTES = _HEAD.size, _TRAILER.size


class DamagedPackError(DamagedError):
    """The file is not a whole pack."""


class PackEntry(msgspec.Struct, array_like=True, frozen=True):
    """``name`` is "" for the pack that the index lies in; ``n_bytes`` are of its chunks; ``written_at`` is ms UTC.

    It is 0 for packs from before 2026-11-29, which do not say when.
    """

    name: str
    n_bytes: int
    written_at: int = 0


class Index(msgspec.Struct, frozen=True):
    """Where a snapshot's chunks lie.

    Attributes
    ----------
    seed : of all digests
    n_since_whole : how many snapshots before this one built upon each other
    packs : by number
    """

    seed: int
    n_since_whole: int
    packs: list[PackEntry]
    tables: list[StoredTable]

    def chunks(self) -> Iterator[Chunk]:
        """Yield every chunk of every table."""
        for table in self.tables:
            for column in table.columns:
                yield from column


class Place(NamedTuple):
    """Where an index lies in its pack."""

    offset: int
    n_bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class Known:
    """Chunks that need not be written again: digest -> (pack name, chunk)."""

    seed: int
    n_since_whole: int
    packs: Mapping[str, PackEntry]
    chunks: Mapping[bytes, tuple[str, Chunk]]


def nothing_known() -> Known:
    """Return a :class:`Known` for a snapshot that is written whole."""
    return Known(secrets.randbits(64), -1, {}, {})


def known_from(index: Index, own_name: str, since: int = 0) -> Known:
    """Return what the index of a snapshot, in the pack ``own_name``, allows a later one to leave out.

    Nothing in packs written before ``since``, ms UTC: besides what is in use they may hold what was erased.
    """
    names = [entry.name or own_name for entry in index.packs]
    used: Counter[int] = Counter()
    distinct = {(chunk.pack, chunk.offset): chunk for chunk in index.chunks()}
    for chunk in distinct.values():
        used[chunk.pack] += chunk.n_bytes
    kept = {
        n for n, entry in enumerate(index.packs) if used[n] >= FULL_ENOUGH * entry.n_bytes and entry.written_at >= since
    }
    return Known(
        index.seed,
        index.n_since_whole,
        {names[n]: msgspec.structs.replace(index.packs[n], name=names[n]) for n in kept},
        {chunk.digest: (names[chunk.pack], chunk) for chunk in distinct.values() if chunk.pack in kept},
    )


class PackWriter:
    """Write one pack to a file descriptor, with system calls only: no buffer that a fork could write twice."""

    def __init__(self, fd: int, known: Known, compression: Compression | None, now: int = 0) -> None:
        self._fd = fd
        self._now = now
        self._known = known
        self._compression = compression
        self._packs = [PackEntry("", 0)]
        self._pack_numbers: dict[str, int] = {}
        self._own: dict[bytes, Chunk] = {}
        self._tables: list[StoredTable] = []
        self._offset = self._synced = 0
        self._write(_HEAD.pack(_MAGIC, VERSION, 0))

    def add(self, title: str, table: pa.Table) -> None:
        """Write a table's new chunks, and note all of them for the index."""
        whole = table.unify_dictionaries()  # a chunk carries one dictionary
        columns = [
            [self._place(batch) for batch in chunks.cut(column, field)]
            for column, field in zip(whole.columns, whole.schema, strict=True)
        ]
        schema = whole.schema.serialize().to_pybytes()
        self._tables.append(StoredTable(title, table.num_rows, schema, columns))

    def finish(self) -> None:
        """Write index and trailer, and sync."""
        self._packs[OWN] = PackEntry("", self._offset - _HEAD.size, self._now)
        index = msgspec.msgpack.encode(
            Index(self._known.seed, self._known.n_since_whole + 1, self._packs, self._tables)
        )
        at = self._offset
        self._write(index + _TRAILER.pack(at, len(index), value(index), VERSION, _MAGIC))
        os.fsync(self._fd)

    def _place(self, batch: pa.RecordBatch) -> Chunk:
        digest = chunks.digest(batch, self._known.seed)
        own = self._own.get(digest)
        if own is not None:
            return own
        found = self._known.chunks.get(digest)
        if found is not None:
            pack, chunk = found
            return msgspec.structs.replace(chunk, pack=self._number(pack))
        data = chunks.encode(batch, self._compression)
        chunk = Chunk(OWN, self._offset, data.size, batch.num_rows, value(data), digest)
        self._write(data)
        self._own[digest] = chunk
        return chunk

    def _number(self, pack: str) -> int:
        number = self._pack_numbers.get(pack)
        if number is None:
            number = self._pack_numbers[pack] = len(self._packs)
            self._packs.append(self._known.packs[pack])
        return number

    def _write(self, data: bytes | pa.Buffer) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._offset += written
            view = view[written:]
        if self._offset - self._synced >= SYNC_BYTES:
            os.fdatasync(self._fd)
            self._synced = self._offset


def read_trailer(pack: bytes, size: int) -> Place:
    """Find the index from the last bytes of a pack of ``size`` bytes. Raises DamagedPackError."""
    if len(pack) < _TRAILER.size:
        raise DamagedPackError("it is too short")
    offset, n_bytes, crc32c, version, magic = _TRAILER.unpack(pack[-_TRAILER.size :])
    if magic != _MAGIC or version != VERSION or offset + n_bytes + _TRAILER.size != size:
        raise DamagedPackError("it has no trailer")
    return Place(offset, n_bytes, crc32c)


def check_head(data: bytes) -> None:
    """Check the first bytes of a pack. Raises DamagedPackError."""
    if data != _HEAD.pack(_MAGIC, VERSION, 0):
        raise DamagedPackError("it has no head")


def read_index(data: bytes, place: Place) -> Index:
    """Decode the index. Raises DamagedPackError."""
    if (len(data), value(data)) != (place.n_bytes, place.crc32c):
        raise DamagedPackError("the index's checksum does not match")
    try:
        return msgspec.msgpack.decode(data, type=Index)
    except UNREADABLE as error:
        raise DamagedPackError(f"the index cannot be read: {error}") from error


def runs(wanted: Iterable[Chunk], gap_bytes: int) -> Iterator[tuple[int, int, list[Chunk]]]:
    """Yield (offset, length, chunks) of stretches of one pack worth one read, with chunks in order of place."""
    group: list[Chunk] = []
    start = end = 0
    for chunk in sorted(wanted, key=_offset):
        if group and chunk.offset - end > gap_bytes:
            yield start, end - start, group
            group = []
        if not group:
            start = chunk.offset
        group.append(chunk)
        end = chunk.offset + chunk.n_bytes
    if group:
        yield start, end - start, group


def _offset(chunk: Chunk) -> int:
    return chunk.offset
