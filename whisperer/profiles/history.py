"""How often each user did each thing, ever and by day.

An entry is (row, event name, UTC day) -> count; day 0 stands for "ever". Counts are exact: the column widens before it
could overflow. Days older than the longest window before a user's newest day answer nothing and are dropped when the
log is compacted.

Memory: 8 bytes of key, 4 of count, 4 + 4 of chain, 6-11 of table: about 28 bytes for each (user, name) and each day on
which the user did it, within 90 days.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles.chain import ChainedLog
from whisperer.profiles.hash_index import HashIndex

DAY_MS = 86_400_000
WINDOW_DAYS = 90
EVER = 0
MAX_NAMES = 1 << 16
FEWEST_TO_COMPACT = 4_096
MAX_DAY = (1 << 16) - 1  # 2149-06-06


def day_of(timestamp_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """UTC day numbers since 1970, at least 1 (0 means "ever") and within 16 bits."""
    return np.clip(timestamp_ms // DAY_MS, 1, MAX_DAY)


class History:
    def __init__(self) -> None:
        self._index = HashIndex(1)
        self._log = ChainedLog({"count": (np.uint32, 0)})
        self._look_again_at = FEWEST_TO_COMPACT

    def __len__(self) -> int:
        return len(self._log)

    @property
    def nbytes(self) -> int:
        return self._index.nbytes + self._log.nbytes

    def add(
        self, rows: NDArray[np.int64], names: NDArray[np.int64], days: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Add counts; entries of one batch may repeat. Arrays of shape (n,)."""
        slots, is_new = self._index.upsert(_pack(rows, names, days))
        added = np.flatnonzero(is_new)
        self._log.append(rows[added[np.argsort(slots[added])]])  # an entry's number in the log is its slot
        column = self._log.entries["count"]
        limit = np.iinfo(column.dtype).max
        if int(column[slots].max(initial=0)) + int(counts.sum()) > limit:
            self._log.entries.widen("count", np.int64)
            column = self._log.entries["count"]
        np.add.at(column, slots, counts.astype(column.dtype))

    def count(self, rows: NDArray[np.int64], name: int, days: range | None) -> NDArray[np.int64]:
        """How often each of ``rows`` did ``name``, within UTC ``days`` or ever; int64, shape (n,)."""
        wanted = np.arange(1) if days is None else np.arange(days.start, days.stop)  # EVER is 0
        keys = ((rows << 32) | (name << 16))[:, None] | wanted
        slots = self._index.find(keys.astype(np.uint64).reshape(-1, 1)).reshape(keys.shape)
        counts = self._log.entries["count"][slots].astype(np.int64)
        counts[slots < 0] = 0
        total: NDArray[np.int64] = counts.sum(axis=1)
        return total

    def of(self, row: int) -> list[tuple[int, int, int]]:
        """(name, day, count) of one row, sorted."""
        entries = self._log.of(row)
        keys = self._index.keys[entries, 0]
        counts = self._log.entries["count"][entries]
        found = ((int(k) >> 16 & 0xFFFF, int(k) & 0xFFFF, int(c)) for k, c in zip(keys, counts, strict=True))
        return sorted(entry for entry in found if entry[2])

    def clear(self, row: int) -> None:
        self._log.entries["count"][self._log.of(row)] = 0  # the keys stay until compaction, worth nothing
        # a later entry of the same row finds its old slot again, so the chain must stay

    def compact(self, newest_day: NDArray[np.int64]) -> int:
        """Drop what no window can reach; ``newest_day`` by row. Returns the number of entries dropped.

        Nothing happens until the history has grown by a quarter since the last time: a look costs a pass over it all.
        """
        if len(self) < self._look_again_at:
            return 0
        keys = self._index.keys[: len(self._index), 0].astype(np.int64)
        day = keys & 0xFFFF
        horizon = newest_day[keys >> 32] - WINDOW_DAYS
        mask = ((day == EVER) | (day > horizon)) & (self._log.entries["count"][: len(self._log)] > 0)
        dropped = int((~mask).sum())
        self._look_again_at = max(FEWEST_TO_COMPACT, (len(self) - dropped) * 5 // 4)
        if dropped:
            self._index.keep(mask)
            self._log.keep(mask)
        return dropped

    def dump(self) -> dict[str, NDArray[Any]]:
        return {"key": self._index.keys[: len(self._index), 0].copy(), **self._log.dump()}

    def load(self, stored: dict[str, NDArray[Any]]) -> None:
        self._index.load(stored["key"].astype(np.uint64).reshape(-1, 1))
        self._log.load({name: values for name, values in stored.items() if name != "key"})


def _pack(rows: NDArray[np.int64], names: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.uint64]:
    return ((rows << 32) | (names << 16) | days).astype(np.uint64).reshape(-1, 1)
