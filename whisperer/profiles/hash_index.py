"""A hash index over fixed-width keys, filled and searched a batch at a time.

Maps keys of one or two 64-bit words to dense slot numbers 0..n-1, batch after batch; within a batch in no
particular but repeatable order. Callers keep columns by
slot beside it. Open addressing over groups of 16 cells with a one-byte tag each, as in SwissTable (Kulukundis, CppCon
2017): one step compares a whole group, so that a batch is settled in two or three steps whatever its size, and numpy
does the work that the original gives to SIMD. No compiler is needed on the user's machine.

Memory: 8 bytes a word for the stored key, and 5 bytes a cell at a load of 0.4 to 0.8: 6 to 12 bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP = 16
MAX_LOAD = 0.8
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio (Knuth, TAOCP 6.4)
_HALF = np.uint64(32)
_TAG_SHIFT = np.uint64(57)
_FREE = 0


class HashIndex:
    """``words`` 64-bit words a key; slots are stable until :meth:`keep`."""

    __slots__ = ("_mask", "_slots", "_tags", "keys", "n", "words")

    def __init__(self, words: int, capacity: int = 64) -> None:
        self.words = words
        self.n = 0
        self.keys: NDArray[np.uint64] = np.empty((capacity, words), np.uint64)
        self._rebuild(_n_groups(capacity))

    def __len__(self) -> int:
        return self.n

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self._tags.nbytes + self._slots.nbytes

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Slots of ``keys`` (shape (n, words)); -1 where absent."""
        slots = np.full(len(keys), -1, np.int64)
        group, tag = self._home(keys)
        pending = np.arange(len(keys))
        while pending.size:
            tags = self._tags[group]
            open_ = self._match(tags, group, tag, keys, pending, slots)
            # A group with a free cell ends the search: nothing is ever deleted from a group.
            open_ &= (tags != _FREE).all(axis=1)
            pending, tag = pending[open_], tag[open_]
            group = (group[open_] + 1) & self._mask
        return slots

    def upsert(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Slots of ``keys``, adding the absent ones; and which entries of the batch were the first of their key."""
        n = len(keys)
        self._reserve(n)
        slots = np.full(n, -1, np.int64)
        is_new = np.zeros(n, np.bool_)
        group, tag = self._home(keys)
        pending = np.arange(n)
        while pending.size:
            tags = self._tags[group]
            open_ = self._match(tags, group, tag, keys, pending, slots)
            free = tags == _FREE
            has_free = free.any(axis=1)
            absent = np.flatnonzero(open_ & has_free)
            if absent.size:
                won = self._claim(group[absent] * GROUP + free[absent].argmax(axis=1), tag[absent])
                added = pending[absent[won]]
                fresh = self.n + np.arange(added.size)
                self.keys[fresh] = keys[added]
                self._slots[(group[absent] * GROUP + free[absent].argmax(axis=1))[won]] = fresh
                self.n += added.size
                slots[added] = fresh
                is_new[added] = True
                open_[absent[won]] = False
            group = np.where(has_free, group, (group + 1) & self._mask)[open_]
            pending, tag = pending[open_], tag[open_]
        return slots, is_new

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the slots where ``mask`` (shape (n,)) is false; the others are renumbered in order."""
        self.load(self.keys[: self.n][mask])

    def load(self, keys: NDArray[np.uint64]) -> None:
        """Hold exactly ``keys`` (distinct, shape (n, words)), in slots 0..n-1."""
        self.n = len(keys)
        self.keys = np.empty((max(64, self.n + self.n // 8), self.words), np.uint64)
        self.keys[: self.n] = keys
        self._rebuild(_n_groups(self.n))

    def _match(
        self,
        tags: NDArray[np.uint8],
        group: NDArray[np.int64],
        tag: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        pending: NDArray[np.int64],
        slots: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Fill ``slots`` of the keys found in their group; true for those still open."""
        open_ = np.ones(pending.size, np.bool_)
        which, cell = np.nonzero(tags == tag[:, None])
        if which.size:
            slot = self._slots[group[which] * GROUP + cell]
            stored, wanted = self.keys[slot], keys[pending[which]]
            same = stored[:, 0] == wanted[:, 0]
            if self.words == 2:
                same &= stored[:, 1] == wanted[:, 1]
            slots[pending[which[same]]] = slot[same]
            open_[which[same]] = False
        return open_

    def _claim(self, cells: NDArray[np.int64], tag: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """One winner a cell: each candidate writes its ticket, the first of the batch last.

        A loser looks again and finds its own key (a repeat within the batch) or the next free cell.
        """
        tickets = np.arange(cells.size, dtype=np.int32)
        self._slots[cells[::-1]] = tickets[::-1]
        won: NDArray[np.bool_] = self._slots[cells] == tickets
        self._tags.reshape(-1)[cells[won]] = tag[won]
        return won

    def _home(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        mixed = keys[:, 0] * _MULTIPLIER
        if self.words == 2:
            mixed = (mixed ^ (mixed >> _HALF) ^ keys[:, 1]) * _MULTIPLIER
        mixed ^= mixed >> _HALF
        mixed *= _MULTIPLIER
        group = (mixed >> _HALF).astype(np.int64) & self._mask
        return group, ((mixed >> _TAG_SHIFT).astype(np.uint8) | np.uint8(0x80))

    def _reserve(self, extra: int) -> None:
        need = self.n + extra
        if need > len(self.keys):
            grown = np.empty((max(need, len(self.keys) + len(self.keys) // 2), self.words), np.uint64)
            grown[: self.n] = self.keys[: self.n]
            self.keys = grown
        if need > MAX_LOAD * self._slots.size:
            self._rebuild(_n_groups(need))

    def _rebuild(self, n_groups: int) -> None:
        self._tags: NDArray[np.uint8] = np.zeros((n_groups, GROUP), np.uint8)
        self._slots: NDArray[np.int32] = np.zeros(n_groups * GROUP, np.int32)
        self._mask = n_groups - 1
        group, tag = self._home(self.keys[: self.n])
        pending = np.arange(self.n)
        while pending.size:
            # Within a group, the k-th arrival takes the k-th free cell.
            order = np.argsort(group, kind="stable")
            group, tag, pending = group[order], tag[order], pending[order]
            first = np.append(True, group[1:] != group[:-1])
            rank = np.arange(group.size) - np.maximum.accumulate(np.where(first, np.arange(group.size), 0))
            cell = (self._tags[group] != _FREE).sum(axis=1) + rank
            fits = cell < GROUP
            target = group[fits] * GROUP + cell[fits]
            self._tags.reshape(-1)[target] = tag[fits]
            self._slots[target] = pending[fits]
            group, tag, pending = (group[~fits] + 1) & self._mask, tag[~fits], pending[~fits]


def _n_groups(n_keys: int) -> int:
    return 1 << max(2, int(np.ceil(np.log2(max(1, n_keys) / (MAX_LOAD * GROUP)))))
