"""Room for what is kept a user in varying amounts: blocks of a few sizes, cut from one array, used again when freed.

A user's entries lie side by side, so that reading them costs one place in memory, and a user who grows moves alone.
Freed blocks are chained through their own first word. Nothing is ever compacted as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.words import kernel
from whisperer.profiles.growth import blank, lengthen, roomy

int64: Any = np.int64
"""For kernels: to mypy, what they compute with is Any."""

NONE = -1
USED = 0  # of `counts`: entries handed out from the array's start
FREED = 1  # and entries of freed blocks among them


@kernel
def has_room(entries: Any, free: Any, counts: Any, sizes: Any, klass: int) -> Any:
    """Whether a block can be taken without lengthening the array."""
    return free[klass] != NONE or counts[USED] + sizes[klass] <= len(entries)


@kernel
def take(entries: Any, free: Any, counts: Any, sizes: Any, klass: int) -> Any:
    """Start of a block; what it holds is not cleared."""
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
    """Free a block; class 0 is no block."""
    if klass:
        entries[at, 0] = free[klass]
        free[klass] = at
        counts[FREED] += sizes[klass]


class Slabs:
    """``sizes[c]`` entries of ``words`` int64 make a block of class c; class 0 is no block."""

    __slots__ = ("counts", "entries", "free", "sizes")

    def __init__(self, sizes: list[int], words: int) -> None:
        self.sizes = np.array(sizes, np.int64)
        self.free = np.full(len(sizes), NONE, np.int64)
        self.counts = np.zeros(2, np.int64)
        self.entries: NDArray[np.int64] = blank(roomy(0), np.int64, words)

    def arrays(self) -> tuple[Any, ...]:
        """As the kernels take them; to be asked for anew after :meth:`lengthen`."""
        return self.entries, self.free, self.counts, self.sizes

    @property
    def nbytes(self) -> int:
        return self.entries[: self.counts[USED]].nbytes

    def lengthen(self, extra: int = 0) -> None:
        """Twice as long, and for ``extra`` entries at least."""
        lengthen(self, "entries", roomy(max(len(self.entries), int(self.counts[USED]) + extra)))
