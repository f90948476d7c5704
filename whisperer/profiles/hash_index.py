"""Index fixed-width keys by hash, filled and searched a batch at a time.

Maps keys of one or two 64-bit words to dense slot numbers 0..n-1, in order of first appearance. Exact: keys are
compared word by word. Callers may keep their own columns by slot.

Memory per key: 8 bytes for each word, and 6 to 9 bytes for the cells (:mod:`.cells`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.cells import (
    BITS,
    COUNT,
    OLD_BITS,
    OLD_SIZE,
    SIZE,
    Cells,
    first_cell,
    insert,
    is_carried,
    mixed,
    tag_of,
)
from whisperer.profiles.growth import blank, lengthen, roomy
from whisperer.profiles.slabs import int64


@kernel
def _slot_of(tags: Any, slots: Any, stored: Any, base: Any, place: Any, size: Any, tag: Any, keys: Any, i: int) -> Any:
    """Return the slot of key ``i``, or -1; probing ends at a free cell, as nothing is ever removed from a sub-table."""
    while True:
        found = tags[base + place]
        if found == 0:
            return -1
        if found == tag:
            slot = slots[base + place]
            same = True
            for word in range(keys.shape[1]):
                same &= stored[slot, word] == keys[i, word]
            if same:
                return int64(slot)
        place += 1
        if place == size:
            place = 0


@kernel
def _look(cells: Any, stored: Any, keys: Any, i: int, h: Any) -> Any:
    tags, slots, _, old_tags, old_slots, _, shape, _ = cells
    if is_carried(h, shape):
        base, place = first_cell(h, shape[BITS], shape[SIZE])
        return _slot_of(tags, slots, stored, base, place, shape[SIZE], tag_of(h), keys, i)
    base, place = first_cell(h, shape[OLD_BITS], shape[OLD_SIZE])
    return _slot_of(old_tags, old_slots, stored, base, place, shape[OLD_SIZE], tag_of(h), keys, i)


@kernel
def _touch(cells: Any, keys: Any, hashes: Any) -> None:
    """Compute the hashes, and request the memory of all of them before waiting for any of it."""
    tags, slots, _, old_tags, _, _, shape, salt = cells
    unused = 0
    for i in range(len(keys)):
        h = hashes[i] = mixed(keys, i, salt)
        if is_carried(h, shape):
            base, place = first_cell(h, shape[BITS], shape[SIZE])
            unused += tags[base + place] + slots[base + place]
        else:
            base, place = first_cell(h, shape[OLD_BITS], shape[OLD_SIZE])
            unused += old_tags[base + place]
    shape[-1] = unused


@kernel
def _find(cells: Any, stored: Any, keys: Any, slots: Any) -> None:
    hashes = np.empty(len(keys), np.uint64)
    _touch(cells, keys, hashes)
    for i in range(len(keys)):
        slots[i] = _look(cells, stored, keys, i, hashes[i])


@kernel
def _leave_unknown(cells: Any, stored: Any, keys: Any, unknown: Any) -> None:
    """Clear ``unknown`` for the keys that are here; absent ones need only the memory of their tags."""
    tags, _, _, old_tags, _, _, shape, salt = cells
    hashes = np.empty(len(keys), np.uint64)
    unused = 0
    for i in range(len(keys)):
        h = hashes[i] = mixed(keys, i, salt)
        if is_carried(h, shape):
            base, place = first_cell(h, shape[BITS], shape[SIZE])
            unused += tags[base + place]
        else:
            base, place = first_cell(h, shape[OLD_BITS], shape[OLD_SIZE])
            unused += old_tags[base + place]
    shape[-1] = unused
    for i in range(len(keys)):
        if unknown[i] and _look(cells, stored, keys, i, hashes[i]) >= 0:
            unknown[i] = False


@kernel
def _upsert(cells: Any, stored: Any, keys: Any, slots: Any, is_new: Any, start: int) -> Any:
    """Find or add keys; return the number done, fewer than all if a sub-table is full."""
    shape = cells[6]
    hashes = np.empty(len(keys), np.uint64)
    _touch(cells, keys, hashes)
    for i in range(start, len(keys)):
        slot = _look(cells, stored, keys, i, hashes[i])
        if slot < 0:
            slot = shape[COUNT]
            if not insert(cells, hashes[i], slot):
                return i
            for word in range(keys.shape[1]):
                stored[slot, word] = keys[i, word]
            shape[COUNT] += 1
            is_new[i] = True
        slots[i] = slot
    return len(keys)


class HashIndex:
    """Map keys of ``words`` 64-bit words to slots, which are stable until :meth:`keep`."""

    __slots__ = ("_cells", "keys", "words")

    def __init__(self, words: int) -> None:
        self.words = words
        self.keys: NDArray[np.uint64] = blank(roomy(0), np.uint64, words)
        self._cells = Cells()

    def __len__(self) -> int:
        return int(self._cells.shape[COUNT])

    @property
    def nbytes(self) -> int:
        """Bytes of keys and cells in use."""
        return self.keys[: len(self)].nbytes + self._cells.nbytes

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the slots of ``keys`` (shape (n, words)), -1 for an absent key."""
        slots = np.empty(len(keys), np.int64)
        _find(self._cells.arrays(), self.keys, keys, slots)
        return slots

    def leave_unknown(self, keys: NDArray[np.uint64], unknown: NDArray[np.bool_]) -> None:
        """Set ``unknown`` (shape (n,)) to false for keys that are here: faster than :meth:`find` if few are."""
        _leave_unknown(self._cells.arrays(), self.keys, keys, unknown)

    def upsert(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the slots of ``keys``, adding absent ones, and which entries of the batch were a key's first."""
        n = len(keys)
        slots, is_new = np.empty(n, np.int64), np.zeros(n, np.bool_)
        if len(self) + n > len(self.keys):
            lengthen(self, "keys", roomy(len(self) + n))
        self._cells.make_room(self.keys, n)
        done = _upsert(self._cells.arrays(), self.keys, keys, slots, is_new, 0)
        while done < n:
            self._cells.grow_now(self.keys)
            done = _upsert(self._cells.arrays(), self.keys, keys, slots, is_new, done)
        return slots, is_new

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the slots where ``mask`` (shape (n,)) is false; the others are renumbered in order."""
        self.load(self.keys[: len(self)][mask])

    def load(self, keys: NDArray[np.uint64]) -> None:
        """Hold exactly ``keys`` (distinct, shape (n, words)), in slots 0..n-1."""
        self.keys = blank(roomy(len(keys)), np.uint64, self.words)
        self.keys[: len(keys)] = keys
        self._cells.rebuild(self.keys, len(keys))
