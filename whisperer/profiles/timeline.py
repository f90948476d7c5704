"""Keep the last 64 entries of each user's story, by event time.

An entry names what happened and where its JSON is (shard of origin, journal position, place in the block); the JSON
itself stays in the journal and the warehouse. The top 64 by (timestamp, sequence) are kept, whatever the order of
arrival or of merges; of entries equal in both, the one that arrived earlier comes first. A user's entries are a sorted
ring of 1, 2, 4 ... 64 places: an event that is the newest, as most are, costs one write.

Memory: 32 bytes per entry, plus a third for growth.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.columns import Table
from whisperer.profiles.slabs import Slabs, give, has_room, int64, take

KEEP = 64

# Kinds beyond the six of EventType.
SEGMENT_ENTERED = 32
SEGMENT_EXITED = 33
MERGED = 34

_INDEX_BITS = 16
_SIZES = [0, 1, 2, 4, 8, 16, 32, KEEP]
_TIMESTAMP, _SEQUENCE, _REFERENCE, _WHAT, _WORDS = range(5)


def pack_reference(position: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pack the journal position of a block and places in it into one number each."""
    return (position << _INDEX_BITS) | index


def unpack_reference(reference: int) -> tuple[int, int]:
    """Return (journal position, place in the block)."""
    return reference >> _INDEX_BITS, reference & ((1 << _INDEX_BITS) - 1)


class Entry(NamedTuple):
    timestamp: int
    sequence: int
    kind: int
    name: str
    origin: int
    reference: int


@kernel
def has_place(slabs: Any, record: Any) -> Any:
    """Check that one more entry of a row fits without lengthening the array."""
    entries, free, counts, sizes = slabs
    n, klass = int64(record._line_n), int64(record._line_class)
    return n == KEEP or n < sizes[klass] or has_room(entries, free, counts, sizes, klass + 1)


@kernel
def write(slabs: Any, record: Any, timestamp: int, sequence: int, reference: int, what: int) -> None:
    """Insert an entry into a row for which :func:`has_place` holds, dropping whichever is the 65th."""
    entries, free, counts, sizes = slabs
    at, n, head = int64(record._line_at), int64(record._line_n), int64(record._line_head)
    klass = int64(record._line_class)
    if n == KEEP:
        oldest = at + head
        if timestamp < entries[oldest, _TIMESTAMP] or (
            timestamp == entries[oldest, _TIMESTAMP] and sequence <= entries[oldest, _SEQUENCE]
        ):
            return
        head = (head + 1) & (KEEP - 1)
        n -= 1
        record._line_head = head
    elif n == sizes[klass]:  # so the ring starts at 0: only one of KEEP places rotates
        moved = take(entries, free, counts, sizes, klass + 1)
        for i in range(n):
            for word in range(_WORDS):
                entries[moved + i, word] = entries[at + i, word]
        give(entries, free, counts, sizes, klass, at)
        at, klass = moved, klass + 1
        record._line_at, record._line_class = at, klass
    mask = sizes[klass] - 1
    place = n
    while place > 0:
        before = at + ((head + place - 1) & mask)
        if entries[before, _TIMESTAMP] < timestamp or (
            entries[before, _TIMESTAMP] == timestamp and entries[before, _SEQUENCE] < sequence
        ):
            break
        for word in range(_WORDS):
            entries[at + ((head + place) & mask), word] = entries[before, word]
        place -= 1
    here = at + ((head + place) & mask)
    entries[here, _TIMESTAMP] = timestamp
    entries[here, _SEQUENCE] = sequence
    entries[here, _REFERENCE] = reference
    entries[here, _WHAT] = what
    record._line_n = n + 1


@kernel
def what_of(origin: int, name: int, kind: int) -> Any:
    """Pack an entry's origin, name code and kind into one word."""
    return origin << 24 | name << 8 | kind


@kernel
def _append(slabs: Any, records: Any, rows: Any, columns: Any, done: int) -> Any:
    for i in range(done, len(rows)):
        if not has_place(slabs, records[rows[i]]):
            return i
        line = columns[i]
        write(slabs, records[rows[i]], line[_TIMESTAMP], line[_SEQUENCE], line[_REFERENCE], line[_WHAT])
    return len(rows)


@kernel
def _dump(slabs: Any, records: Any, start: int, stop: int, row: Any, columns: Any) -> None:
    """Copy entries by (timestamp, sequence), equal ones in order of arrival, so that appending them restores all."""
    entries, sizes = slabs[0], slabs[3]
    out = 0
    for r in range(start, stop):
        record = records[r]
        at, n, head = int64(record._line_at), int64(record._line_n), int64(record._line_head)
        mask = sizes[int64(record._line_class)] - 1
        first = 0
        while first < n:
            here = at + ((head + first) & mask)
            last = first + 1
            while last < n:
                there = at + ((head + last) & mask)
                if entries[there, _TIMESTAMP] != entries[here, _TIMESTAMP]:
                    break
                if entries[there, _SEQUENCE] != entries[here, _SEQUENCE]:
                    break
                last += 1
            for place in range(last - 1, first - 1, -1):
                row[out] = r
                for word in range(_WORDS):
                    columns[out, word] = entries[at + ((head + place) & mask), word]
                out += 1
            first = last


@kernel
def _fold(slabs: Any, records: Any, start: int, stop: int, retired: Any) -> None:
    entries, sizes = slabs[0], slabs[3]
    for row in range(start, stop):
        record = records[row]
        at, head = int64(record._line_at), int64(record._line_head)
        mask = sizes[int64(record._line_class)] - 1
        for i in range(int64(record._line_n)):
            here = at + ((head + i) & mask)
            if retired[entries[here, _WHAT] >> 8 & 0xFFFF]:
                entries[here, _WHAT] &= ~(0xFFFF << 8)


@kernel
def _clear(slabs: Any, records: Any, row: int) -> None:
    record = records[row]
    entries, free, counts, sizes = slabs
    give(entries, free, counts, sizes, int64(record._line_class), int64(record._line_at))
    record._line_at, record._line_n, record._line_class, record._line_head = 0, 0, 0, 0


class Timeline:
    """Keep users' latest entries; ``table`` holds where each row's are (:mod:`.record`)."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.slabs = Slabs(_SIZES, _WORDS)

    def __len__(self) -> int:
        return int(self._table["_line_n"][: self._table.n].sum(dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of entries in use."""
        return self.slabs.nbytes

    def append(
        self,
        rows: NDArray[np.int64],
        timestamp: Any,
        sequence: Any,
        kind: Any,
        name: Any,
        origin: Any = -1,
        reference: Any = -1,
    ) -> None:
        """Add one entry for each of ``rows``; the other arguments are arrays of that shape, or one value for all."""
        columns = np.empty((len(rows), _WORDS), np.int64)
        columns[:, _TIMESTAMP], columns[:, _SEQUENCE], columns[:, _REFERENCE] = timestamp, sequence, reference
        columns[:, _WHAT] = np.array(origin, np.int64) << 24 | np.array(name, np.int64) << 8 | np.array(kind, np.int64)
        done = 0
        while done < len(rows):
            done = _append(self.slabs.arrays(), self._table.records, rows, columns, done)
            if done < len(rows):
                self.slabs.lengthen()

    def of(self, row: int, names: list[str]) -> list[Entry]:
        """Return the row's entries, newest first, at most 64."""
        record = self._table.records[row]
        n, mask = int(record["_line_n"]), int(self.slabs.sizes[record["_line_class"]]) - 1
        places = int(record["_line_at"]) + ((int(record["_line_head"]) + np.arange(n - 1, -1, -1)) & mask)
        lines = self.slabs.entries[places].tolist()
        return [Entry(t, s, w & 0xFF, names[w >> 8 & 0xFFFF], w >> 24, r) for t, s, r, w in lines]

    def fold(self, rows: range, retired: NDArray[np.bool_]) -> None:
        """Give entries under retired names code 0."""
        _fold(self.slabs.arrays(), self._table.records, rows.start, rows.stop, retired)

    def clear(self, row: int) -> None:
        """Remove a row's entries."""
        _clear(self.slabs.arrays(), self._table.records, row)

    def dump(self, rows: range | None = None) -> dict[str, NDArray[Any]]:
        """Return a column for each member of :class:`Entry`, and ``row``, of all rows or some."""
        rows = range(self._table.n) if rows is None else rows
        n = int(self._table["_line_n"][rows.start : rows.stop].sum(dtype=np.int64))
        row, columns = np.empty(n, np.int32), np.empty((n, _WORDS), np.int64)
        _dump(self.slabs.arrays(), self._table.records, rows.start, rows.stop, row, columns)
        what = columns[:, _WHAT]
        return {
            "timestamp": columns[:, _TIMESTAMP].copy(),
            "sequence": columns[:, _SEQUENCE].copy(),
            "reference": columns[:, _REFERENCE].copy(),
            "name": (what >> 8 & 0xFFFF).astype(np.uint16),
            "kind": (what & 0xFF).astype(np.uint8),
            "origin": (what >> 24).astype(np.int32),
            "row": row,
        }

    def load(self, stored: dict[str, NDArray[Any]]) -> None:
        """Load what :meth:`dump` returned into empty rows, skipping entries of no row, which earlier releases have."""
        rows = stored["row"].astype(np.int64)
        held = rows >= 0
        self.slabs.lengthen(len(rows))
        self.append(rows[held], **{name: values[held] for name, values in stored.items() if name != "row"})
