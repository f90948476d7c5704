"""Allocate room for per-user data of varying size: blocks of a few sizes, cut from one array, reused when freed.

A user's entries are contiguous, so reading them costs one place in memory, and when one user grows, no other moves.
Freed blocks are chained through their own first word. The array as a whole is never compacted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.growth import blank, lengthen, roomy

int64: Any = np.int64
"""``np.int64`` for kernels, typed Any: to mypy, everything they compute with is."""

NONE = -1
USED = 0  # place in `counts`: entries allocated from the array's start
FREED = 1  # place in `counts`: those of them in freed blocks


@kernel
def has_room(entries: Any, free: Any, counts: Any, sizes: Any, klass: int) -> Any:
    """Check that a block can be taken without lengthening the array."""
    return free[klass] != NONE or counts[USED] + sizes[klass] <= len(entries)


@kernel
def take(entries: Any, free: Any, counts: Any, sizes: Any, klass: int) -> Any:
    """Take a block, not cleared, and return its start."""
    at = free[klass]
    if at != NONE:
        free[klass] = entries[at, 0]
        counts[FREED] -= sizes[klass]
        return at
    at = counts[USED]
    counts[USED] += sizes[klass]
    return at


@kernel
def give(entries: Any, free: Any, counts: Any, sizes: Any, klass: int, at: int) -> None:
    """Free a block; class 0 means there is none."""
    if klass:
        entries[at, 0] = free[klass]
        free[klass] = at
        counts[FREED] += sizes[klass]


class Slabs:
    """Hold the array and its free blocks: class c has ``sizes[c]`` entries of ``words`` int64, class 0 is no block."""

    __slots__ = ("counts", "entries", "free", "sizes")

    def __init__(self, sizes: list[int], words: int) -> None:
        self.sizes = np.array(sizes, np.int64)
        self.free = np.full(len(sizes), NONE, np.int64)
        self.counts = np.zeros(2, np.int64)
        self.entries: NDArray[np.int64] = blank(roomy(0), np.int64, words)

    def arrays(self) -> tuple[Any, ...]:
        """Return the arrays as kernels take them; ask again after :meth:`lengthen`."""
        return self.entries, self.free, self.counts, self.sizes

    @property
    def nbytes(self) -> int:
        """Bytes allocated, freed blocks included."""
        return self.entries[: self.counts[USED]].nbytes

    def lengthen(self, extra: int = 0) -> None:
        """At least double the array, with room for ``extra`` more entries."""
        lengthen(self, "entries", roomy(max(len(self.entries), int(self.counts[USED]) + extra)))
