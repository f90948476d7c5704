"""Keep Python's cyclic garbage collector away from a shard's state.

The state is millions of objects that stay for days and are freed by their reference counts. A full collection looks at
each of them: 300 ms for 125,000 decisions, in which nobody is answered. So objects that survived a minute are set aside
where no collection looks (`gc.freeze`); younger ones are collected as usual, in under 50 ms. A cycle that dies after
its first minute is not found: those are few (tasks that waited that long), and `whisperer bench soak` watches memory.
"""

from __future__ import annotations

import gc

EVERY_S = 60.0
_THRESHOLDS = 10_000, 10, 1_000_000
"""Of objects, then of collections of each generation."""


def keep_away() -> None:
    """Set everything aside and set the thresholds; call it once there is a state."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def set_aside() -> None:
    """Set aside what exists now, except garbage of the two younger generations. Call it every :data:`EVERY_S`."""
    gc.collect(1)
    gc.freeze()
