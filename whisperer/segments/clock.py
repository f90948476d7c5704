"""Decide when a leaf's answer could next change just because time passes.

Answers are conservative: from that time on the leaf may differ, before it cannot. None means "never, for any of these
users", which saves an array for the many leaves that have no clock. All times are int64 ms UTC and after ``now``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.errors import InvariantError
from whisperer.segments.predicate import EventLeaf, FeatureLeaf, SeenLeaf
from whisperer.segments.rows import FeatureSpec, Rows
from whisperer.segments.truth import Test
from whisperer.vocabulary.units import DAY_MS

NEVER = int(np.iinfo(np.int64).max)
UNIT_MS = {"hour": 3_600_000, "hours": 3_600_000, "day": DAY_MS, "days": DAY_MS}
_EPS = float(np.finfo(np.float64).eps)

Times = NDArray[np.int64] | None


def next_midnight(now: int) -> int:
    """Return the first UTC midnight after ``now``."""
    return (now // DAY_MS + 1) * DAY_MS


def next_change(test: Test, holds: NDArray[np.bool_], rows: Rows, spec: FeatureSpec | None) -> Times:
    """Return when each user's answer ``holds`` to ``test`` could change: shape (n,), NEVER if it cannot."""
    match test:
        case SeenLeaf():
            return _seen(test, holds, rows)
        case EventLeaf():
            return _window(test, holds, rows)
        case FeatureLeaf():
            assert spec is not None, "compile gives every feature leaf its spec"
            return _feature(test, rows, spec)
    return None


def has_clock(test: Test, spec: FeatureSpec | None) -> bool:
    """Check if time alone can change the answer to ``test`` for anyone."""
    match test:
        case SeenLeaf():
            return True
        case EventLeaf():
            return test.days is not None
        case FeatureLeaf():
            return spec is not None and spec.clock != "none"
    return False


def _seen(leaf: SeenLeaf, holds: NDArray[np.bool_], rows: Rows) -> Times:
    within = holds if leaf.seen == "within" else ~holds
    span = leaf.days * DAY_MS
    leaves_at = np.minimum(rows.last_seen(), NEVER - span) + span
    return np.where(within, leaves_at, NEVER)


def _window(leaf: EventLeaf, holds: NDArray[np.bool_], rows: Rows) -> Times:
    """Answer for an event leaf. A count in a window of whole days only falls, and only at midnight: once it is low
    enough, it stays so."""
    if leaf.days is None:
        return None
    counts = rows.event_count(leaf.event, leaf.days)
    match leaf.op:
        case "gte" | "gt":
            may_change = holds & (leaf.count > 0 if leaf.op == "gte" else True)
        case "lt" | "lte":
            may_change = ~holds & (leaf.count > 0 if leaf.op == "lt" else True)
        case _:
            may_change = counts >= max(leaf.count, 1)
    return np.where(may_change, next_midnight(rows.now), NEVER)


def _feature(leaf: FeatureLeaf, rows: Rows, spec: FeatureSpec) -> Times:
    if spec.clock == "none":
        return None
    if spec.clock == "day":
        return np.full(rows.n, next_midnight(rows.now), np.int64)
    if spec.clock != "elapsed" or spec.unit not in UNIT_MS:
        raise InvariantError(f"feature {spec.name!r}: clock {spec.clock!r} with unit {spec.unit!r} has no known pace")
    if leaf.value is None:
        return None
    value, current, unit_ms = float(leaf.value), rows.feature(leaf.feature), UNIT_MS[spec.unit]
    # gte and lt change when the value is reached; the others also, or only, the instant after.
    pending = current < value if leaf.op in ("gte", "lt") else current <= value
    current = np.where(pending & np.isfinite(current), current, value)
    with np.errstate(over="ignore"):  # a wait too long for a float never ends
        # The shard's division rounds; subtracting the error first makes an answer early rather than late.
        rounding = 16 * _EPS * (abs(value) + np.abs(current))
        wait_ms = np.maximum(np.ceil((value - current - rounding) * unit_ms), 1)
    reachable = pending & (wait_ms < 2**62)
    return np.where(reachable, rows.now + np.where(reachable, wait_ms, 0).astype(np.int64), NEVER)
