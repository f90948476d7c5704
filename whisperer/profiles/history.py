"""Count how often each user did each thing, ever and by day.

An entry is (event name, UTC day) -> count; day 0 stands for "ever". A user's entries are sorted and contiguous, so a
count costs one binary search and a window of days is one stretch. Counts are exact: one that outgrows 32 bits continues
in a second entry of the same key. A user has at most ``MAX_ENTRIES``: beyond that, what would need a new entry is
counted under code 0, so that no user makes events slow. Days further back from a user's newest day than the longest
window are never reported, and are dropped when the user's block is full.

Memory: 8 bytes per (user, name), and per day within 90 on which the user did it, plus a fifth for growth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.columns import Table
from whisperer.profiles.record import WINDOW_DAYS
from whisperer.profiles.slabs import Slabs, give, has_room, int64, take
from whisperer.vocabulary.units import DAY_MS

EVER = 0
MAX_ENTRIES = 1 << 14
"""128 KB: 180 names each day for 90 days."""

UNBOUNDED = 1 << 62
"""The bound that records before version 5 have: none."""

MAX_DAY = (1 << 16) - 1  # 2149-06-06

_MAX_COUNT = (1 << 32) - 1
_SIZES = [0, 2, *(size for power in range(2, 26) for size in (1 << power, 3 << power - 1))]


def day_of(timestamp_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return UTC day numbers since 1970, at least 1 (0 means "ever") and within 16 bits."""
    return np.clip(timestamp_ms // DAY_MS, 1, MAX_DAY)


@kernel
def _key(entry: Any) -> Any:
    return (entry >> 32) & _MAX_COUNT


@kernel
def _lower(entries: Any, at: int, n: int, key: int) -> Any:
    """Find the first of a row's ``n`` entries whose key is not below ``key``; return its place."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if _key(entries[at + middle, 0]) < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _drop_old(entries: Any, record: Any) -> Any:
    """Remove the days that no window reaches; return the number of entries left."""
    at, kept = int64(record._history_at), 0
    horizon = int64(record.newest_day) - WINDOW_DAYS
    for i in range(int64(record._history_n)):
        day = _key(entries[at + i, 0]) & 0xFFFF
        if day == EVER or day > horizon:
            entries[at + kept, 0] = entries[at + i, 0]
            kept += 1
    record._history_n = kept
    return kept


@kernel
def fits(slabs: Any, record: Any) -> Any:
    """Check that two more entries of a row fit without lengthening the array."""
    entries, free, counts, sizes = slabs
    klass = int64(record._history_class)
    return int64(record._history_n) + 2 <= sizes[klass] or has_room(entries, free, counts, sizes, klass + 1)


@kernel
def _is_counted(entries: Any, at: int, n: int, place: int, key: int, count: int) -> Any:
    """Add the count to the entry at a place if that has this key and room for it; return whether it did."""
    if (
        place < n
        and _key(entries[at + place, 0]) == key
        and (entries[at + place, 0] & _MAX_COUNT) + count <= _MAX_COUNT
    ):
        entries[at + place, 0] += count
        return True
    return False


@kernel
def bump(slabs: Any, record: Any, name: int, day: int, count: int, most: int) -> None:
    """Add 1 to 2^32 - 1 to one count of a row for which :func:`fits` holds."""
    if day != EVER and day <= int64(record.newest_day) - WINDOW_DAYS:
        return
    entries, free, counts, sizes = slabs
    key = name << 16 | day
    at, n, klass = int64(record._history_at), int64(record._history_n), int64(record._history_class)
    place = _lower(entries, at, n, key)
    if _is_counted(entries, at, n, place, key, count):
        return
    if n >= most:  # old days must not count, whether or not they were dropped before
        n = _drop_old(entries, record)
        if n >= most:
            key = day
        place = _lower(entries, at, n, key)
        if n >= most and _is_counted(entries, at, n, place, key, count):
            return
    if n == sizes[klass]:
        n = _drop_old(entries, record)
        if n == sizes[klass]:
            moved = take(entries, free, counts, sizes, klass + 1)
            for i in range(n):
                entries[moved + i, 0] = entries[at + i, 0]
            give(entries, free, counts, sizes, klass, at)
            at = moved
            record._history_at, record._history_class = moved, klass + 1
        place = _lower(entries, at, n, key)
    for i in range(n, place, -1):
        entries[at + i, 0] = entries[at + i - 1, 0]
    entries[at + place, 0] = key << 32 | count
    record._history_n = n + 1


@kernel
def _add(slabs: Any, records: Any, rows: Any, names: Any, days: Any, counts: Any, most: int, done: int) -> Any:
    """Add counts until there is no room; return the entries done. The rest of a split count stays in ``counts``."""
    for i in range(done, len(rows)):
        while counts[i] > 0:
            if not fits(slabs, records[rows[i]]):
                return i
            part = min(counts[i], _MAX_COUNT)
            bump(slabs, records[rows[i]], names[i], days[i], part, most)
            counts[i] -= part
    return len(rows)


@kernel
def _fold(slabs: Any, records: Any, start: int, stop: int, retired: Any, most: int) -> Any:
    """Move counts under retired names to code 0; return the row after the last one looked at.

    A row never gets more entries by this: each one removed is added to another or frees the place for it.
    """
    entries = slabs[0]
    row, looked_at = start, 0
    while row < stop and looked_at < most:
        record = records[row]
        at, n, kept = int64(record._history_at), int64(record._history_n), int64(0)
        looked_at += n + 1
        for i in range(n):
            if retired[_key(entries[at + i, 0]) >> 16]:
                kept += 1
        if kept:
            gone = np.empty(kept, np.int64)
            kept, taken = int64(0), 0
            for i in range(n):
                entry = entries[at + i, 0]
                if retired[_key(entry) >> 16]:
                    gone[taken] = entry
                    taken += 1
                else:
                    entries[at + kept, 0] = entry
                    kept += 1
            record._history_n = kept
            for i in range(taken):
                bump(slabs, record, 0, _key(gone[i]) & 0xFFFF, gone[i] & _MAX_COUNT, UNBOUNDED)
        row += 1
    return row


@kernel
def _count(entries: Any, records: Any, rows: Any, name: int, start: int, stop: int, totals: Any) -> None:
    for i in range(len(rows)):
        record = records[rows[i]]
        at, n = int64(record._history_at), int64(record._history_n)
        place, total = _lower(entries, at, n, name << 16 | start), 0
        while place < n and _key(entries[at + place, 0]) < (name << 16) + stop:
            total += entries[at + place, 0] & _MAX_COUNT
            place += 1
        totals[i] = total


@kernel
def _dump(entries: Any, records: Any, start: int, stop: int, row: Any, key: Any, count: Any) -> None:
    place = 0
    for r in range(start, stop):
        at = int64(records[r]._history_at)
        for i in range(int64(records[r]._history_n)):
            row[place] = r
            key[place] = _key(entries[at + i, 0])
            count[place] = entries[at + i, 0] & _MAX_COUNT
            place += 1


@kernel
def _clear(slabs: Any, records: Any, row: int) -> None:
    record = records[row]
    entries, free, counts, sizes = slabs
    give(entries, free, counts, sizes, int64(record._history_class), int64(record._history_at))
    record._history_at, record._history_n, record._history_class = 0, 0, 0


class History:
    """Count users' events by name and day; ``table`` holds where each row's entries are (:mod:`.record`)."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.slabs = Slabs(_SIZES, 1)
        self.most = MAX_ENTRIES

    def __len__(self) -> int:
        return int(self._table["_history_n"][: self._table.n].sum())

    @property
    def nbytes(self) -> int:
        """Bytes of entries in use."""
        return self.slabs.nbytes

    def add(
        self, rows: NDArray[np.int64], names: NDArray[np.int64], days: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Add counts; all arrays have shape (n,), and entries may repeat."""
        left, done = counts.copy(), 0
        while done < len(rows):
            done = _add(self.slabs.arrays(), self._table.records, rows, names, days, left, self.most, done)
            if done < len(rows):
                self.slabs.lengthen()

    def count(self, rows: NDArray[np.int64], name: int, days: range | None) -> NDArray[np.int64]:
        """Return how often each of ``rows`` did ``name``, within UTC ``days`` or ever (None); int64, shape (n,)."""
        start, stop = (EVER, EVER + 1) if days is None else (days.start, min(days.stop, MAX_DAY + 1))
        totals = np.empty(len(rows), np.int64)
        _count(self.slabs.entries, self._table.records, rows, name, start, stop, totals)
        return totals

    def of(self, row: int) -> list[tuple[int, int, int]]:
        """Return (name, day, count) of one row, sorted."""
        record = self._table.records[row]
        at, horizon = int(record["_history_at"]), int(record["newest_day"]) - WINDOW_DAYS
        found: dict[tuple[int, int], int] = {}
        for entry in self.slabs.entries[at : at + int(record["_history_n"]), 0].tolist():
            name, day = entry >> 48 & 0xFFFF, entry >> 32 & 0xFFFF
            if day == EVER or day > horizon:
                found[name, day] = found.get((name, day), 0) + (entry & _MAX_COUNT)
        return [(name, day, count) for (name, day), count in found.items()]

    def fold(self, rows: range, retired: NDArray[np.bool_], most: int) -> int:
        """Move these rows' counts under retired names to code 0, up to about ``most`` entries; return the next row."""
        return int(_fold(self.slabs.arrays(), self._table.records, rows.start, rows.stop, retired, most))

    def clear(self, row: int) -> None:
        """Remove a row's entries."""
        _clear(self.slabs.arrays(), self._table.records, row)

    def dump(self, rows: range | None = None) -> dict[str, NDArray[Any]]:
        """Return sorted columns ``row``, ``key`` (row, name and day in one) and ``count``, of all rows or some."""
        rows = range(self._table.n) if rows is None else rows
        n = int(self._table["_history_n"][rows.start : rows.stop].sum())
        row, key, count = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.int64)
        _dump(self.slabs.entries, self._table.records, rows.start, rows.stop, row, key, count)
        key |= row.astype(np.int64) << 32
        return {"key": key.astype(np.uint64), "count": count.astype(np.uint32), "row": row}

    def load(self, stored: dict[str, NDArray[Any]]) -> None:
        """Load what :meth:`dump` returned into empty rows, skipping entries of no row, which earlier releases have."""
        key, row = stored["key"].astype(np.int64), stored["row"].astype(np.int64)
        held = row >= 0
        if not held.all():
            key, row = key[held], row[held]
        self.slabs.lengthen(len(key))
        most, self.most = self.most, UNBOUNDED  # what was stored had been admitted
        self.add(key >> 32, key >> 16 & 0xFFFF, key & 0xFFFF, stored["count"][held].astype(np.int64))
        self.most = most
