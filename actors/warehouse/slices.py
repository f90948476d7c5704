"""Decide in which slices of time rows are read and sorted, so that each fits into the memory that a sort has.

DuckDB refuses to sort several times its memory where rows hold long texts, instead of spilling them. So what comes
oldest first is read a slice at a time; a second that holds more than one slice's worth is read in parts, by a hash of
where its rows come from, and its rows are in order only within each part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SLICE_BYTES = 64 << 20
ROW_BYTES = 1_000
"""What is reckoned for a row besides a text of its client's."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows from the second ``first`` to before the second ``end``: those whose hash is ``part`` of ``n_parts``."""

    first: int
    end: int
    part: int = 0
    n_parts: int = 1


def sliced(seconds: Iterable[tuple[int, int]], most_bytes: int = SLICE_BYTES) -> list[Slice]:
    """Return slices, in order, for (second, bytes) in order of the seconds."""
    found: list[Slice] = []
    first = end = n_held = 0
    for second, n_bytes in seconds:
        if n_held and n_held + n_bytes > most_bytes:
            found.append(Slice(first, end))
            n_held = 0
        if n_bytes > most_bytes:
            n_parts = -(-n_bytes // most_bytes)
            found += [Slice(second, second + 1, part, n_parts) for part in range(n_parts)]
            continue
        if not n_held:
            first = second
        end, n_held = second + 1, n_held + n_bytes
    if n_held:
        found.append(Slice(first, end))
    return found
