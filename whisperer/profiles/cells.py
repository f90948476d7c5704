"""Manage the cells of a hash table: where a hash is looked for, and how the table grows without a pause.

A cell has a one-byte tag of its hash and the slot that holds its key, so that looking for an absent key only reads
tags, mostly one cache line. Cells form sub-tables of some thousands, chosen by the hash's high bits and probed
linearly. To grow, a second, larger set of sub-tables is laid out, and each batch carries a few over. Until all are
carried, a hash is in one of the two sets; its high bits say which. The longest step is a few sub-tables: under 2 ms.

Keys are compared by the callers (:mod:`.hash_index`, :mod:`.keys`), whose kernels take :meth:`Cells.arrays`.

Memory: 5 bytes per cell at a load of 0.56 to 0.87, so 6 to 9 bytes per key, plus the smaller set's while growing.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.growth import blank
from whisperer.profiles.slabs import int64

GROW_AT = 0.83
GROWTH = 1.5
_CARRY_WITHIN = 0.04  # new keys until the last sub-table is carried over, as a share of the cells
_FULL = 0.96  # load at which a sub-table is full
_SUB_CELLS = 8_192
_FEW_CELLS = 64

# Places in `shape`: bits of the hash that choose a sub-table, cells per sub-table, the same for the older set, how many
# of its sub-tables were carried over, and how many keys there are.
BITS, SIZE, OLD_BITS, OLD_SIZE, CARRIED, COUNT, _N_SHAPE = range(7)

_M1 = np.uint64(0xBF58476D1CE4E5B9)  # the finalizer of splitmix64 (Steele et al., OOPSLA 2014)
_M2 = np.uint64(0x94D049BB133111EB)
_S32, _S30, _S27, _S31, _ONE, _S63 = (np.uint64(n) for n in (32, 30, 27, 31, 1, 63))
_LOW = np.uint64(0xFFFFFFFF)
_TAG = np.uint64(0xFF)


@kernel
def mixed(keys: Any, i: int, salt: Any) -> Any:
    """Return a hash of key ``i``, every bit of which depends on all the key's words."""
    h = keys[i, 0] ^ salt
    for word in range(1, keys.shape[1]):
        h = ((h ^ (h >> _S32)) * _M1) ^ keys[i, word]
    h = (h ^ (h >> _S30)) * _M1
    h = (h ^ (h >> _S27)) * _M2
    return h ^ (h >> _S31)


@kernel
def tag_of(h: Any) -> Any:
    """Return a hash's tag, never 0, which marks a free cell."""
    return np.uint8(max((h >> _S32) & _TAG, _ONE))


@kernel
def is_carried(h: Any, shape: Any) -> Any:
    """Check if a hash is to be looked for in the newer set."""
    return int64((h >> _ONE) >> (_S63 - np.uint64(shape[OLD_BITS]))) < shape[CARRIED]


@kernel
def first_cell(h: Any, bits: Any, size: Any) -> Any:
    """Return (start of the sub-table, first place in it)."""
    sub = int64((h >> _ONE) >> (_S63 - np.uint64(bits)))
    return sub * size, int64(((h & _LOW) * np.uint64(size)) >> _S32)


@kernel
def _put(tags: Any, slots: Any, fill: Any, bits: Any, size: Any, h: Any, slot: Any) -> Any:
    base, place = first_cell(h, bits, size)
    sub = base // size
    if fill[sub] >= int64(_FULL * size):
        return False
    while tags[base + place] != 0:
        place += 1
        if place == size:
            place = 0
    tags[base + place] = tag_of(h)
    slots[base + place] = slot
    fill[sub] += 1
    return True


@kernel
def insert(cells: Any, h: Any, slot: Any) -> Any:
    """Fill the first free cell for a hash, in the set where it is looked for; false if the sub-table is full."""
    tags, slots, fill, old_tags, old_slots, old_fill, shape, _ = cells
    if is_carried(h, shape):
        return _put(tags, slots, fill, shape[BITS], shape[SIZE], h, slot)
    return _put(old_tags, old_slots, old_fill, shape[OLD_BITS], shape[OLD_SIZE], h, slot)


@kernel
def _carry(cells: Any, keys: Any, until: int) -> Any:
    tags, slots, fill, old_tags, old_slots, _, shape, salt = cells
    size = shape[OLD_SIZE]
    for sub in range(shape[CARRIED], until):
        unused = np.uint64(0)
        for cell in range(sub * size, (sub + 1) * size):  # start many loads at once, before waiting for any
            unused ^= keys[old_slots[cell], 0]  # a free cell's slot is 0
        shape[-1] = int64(unused & _ONE)
        for cell in range(sub * size, (sub + 1) * size):
            if old_tags[cell] != 0:
                slot = old_slots[cell]
                if not _put(tags, slots, fill, shape[BITS], shape[SIZE], mixed(keys, slot, salt), slot):
                    return False
    shape[CARRIED] = until
    return True


@kernel
def _fill_all(cells: Any, keys: Any, n: int) -> Any:
    tags, slots, fill, _, _, _, shape, salt = cells
    for slot in range(n):  # noqa: SIM110
        if not _put(tags, slots, fill, shape[BITS], shape[SIZE], mixed(keys, slot, salt), slot):
            return False
    return True


class Cells:
    """Hold the cells. Their salt is random, so that nobody can send keys that crowd one sub-table; results do not
    depend on it."""

    __slots__ = ("_fill", "_old_fill", "_old_slots", "_old_tags", "_salt", "_slots", "_tags", "shape")

    def __init__(self) -> None:
        self._salt = np.uint64(secrets.randbits(64))
        self.shape = np.zeros(_N_SHAPE + 1, np.int64)
        self._drop_old()
        self._lay_out(_FEW_CELLS)

    def arrays(self) -> tuple[Any, ...]:
        """Return (tags, slots, fill) of the newer and the older set, shape, salt; ask again for each batch."""
        newer, older = (self._tags, self._slots, self._fill), (self._old_tags, self._old_slots, self._old_fill)
        return *newer, *older, self.shape, self._salt

    @property
    def nbytes(self) -> int:
        """Bytes of both sets."""
        return sum(array.nbytes for array in self.arrays()[:6])

    def make_room(self, keys: NDArray[np.uint64], incoming: int) -> None:
        """Carry over, and start to grow, as the number of keys requires; call it before each batch."""
        if self._is_growing:
            share = incoming / (_CARRY_WITHIN * len(self._tags))
            self._carry(keys, int(share * (1 << self.shape[OLD_BITS])) + 1)
        wanted = int(self.shape[COUNT]) + incoming
        if wanted > GROW_AT * len(self._tags) and not self._is_growing:
            self._begin(int(max(len(self._tags), wanted / GROW_AT) * GROWTH), keys)
        if wanted > (GROW_AT + 1.5 * _CARRY_WITHIN) * len(self._tags):
            self._carry(keys, 1 << 62)
            self._begin(int(wanted / GROW_AT * GROWTH), keys)
            self._carry(keys, 1 << 62)

    def grow_now(self, keys: NDArray[np.uint64]) -> None:
        """Rebuild with more cells because a sub-table is full: slow, but too unlikely to matter."""
        self.rebuild(keys, int(self.shape[COUNT]), int(len(self._tags) * GROWTH))

    def rebuild(self, keys: NDArray[np.uint64], n: int, n_cells: int = 0) -> None:
        """Hold exactly the slots 0..n-1."""
        n_cells = max(n_cells, _FEW_CELLS, int(n / GROW_AT * 1.1))
        while True:
            self._drop_old()
            self._lay_out(n_cells)
            self.shape[COUNT] = n
            if _fill_all(self.arrays(), keys, n):
                return
            n_cells = int(n_cells * GROWTH)

    @property
    def _is_growing(self) -> bool:
        return len(self._old_tags) > 0

    def _begin(self, n_cells: int, keys: NDArray[np.uint64]) -> None:
        self._old_tags, self._old_slots, self._old_fill = self._tags, self._slots, self._fill
        self.shape[OLD_BITS], self.shape[OLD_SIZE], self.shape[CARRIED] = self.shape[BITS], self.shape[SIZE], 0
        self._lay_out(n_cells)
        if self.shape[OLD_BITS] < 2:
            self._carry(keys, 1 << 62)

    def _carry(self, keys: NDArray[np.uint64], count: int) -> None:
        if not self._is_growing:
            return
        n_subs = 1 << int(self.shape[OLD_BITS])
        until = min(int(self.shape[CARRIED]) + count, n_subs)
        if not _carry(self.arrays(), keys, until):
            self.grow_now(keys)
        elif until == n_subs:
            self._drop_old()

    def _drop_old(self) -> None:
        self._old_tags, self._old_slots = np.zeros(0, np.uint8), np.zeros(0, np.int32)
        self._old_fill = np.zeros(0, np.int32)
        self.shape[OLD_BITS], self.shape[OLD_SIZE], self.shape[CARRIED] = 0, 1, 1  # meaning: all carried over

    def _lay_out(self, n_cells: int) -> None:
        bits = int(self.shape[OLD_BITS])
        while n_cells >> bits > _SUB_CELLS:
            bits += 1
        size = -(-n_cells // (1 << bits))
        self.shape[BITS], self.shape[SIZE] = bits, size
        self._tags, self._slots = blank(size << bits, np.uint8), blank(size << bits, np.int32)
        self._fill = np.zeros(1 << bits, np.int32)
