"""Hold a batch of users' events as arrays, one user's after another's in order.

The query packs each event into one integer, so that the order of integers is the order of events: of time, in the same
millisecond of the first step that an event matches, and of events that match the same first step of fewer before more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in an integer what lies, from the top: time, first step, steps matched (a bit each), place of the label."""

    n_steps: int
    first_bits: int
    label_bits: int

    @classmethod
    def of(cls, n_steps: int, label_bits: int) -> Layout:
        """Return the layout for so many steps, exclusions included."""
        return cls(n_steps, n_steps.bit_length(), label_bits)

    def packed_sql(self, time: str, steps: str, label: str) -> str:
        """Return the SQL of the integer; the time must be small and not negative."""
        firsts = " ".join(f"WHEN ({steps} & {1 << step}) <> 0 THEN {step}" for step in range(self.n_steps))
        first = f"CASE {firsts} ELSE {self.n_steps} END"
        time, first = f"({time})::BIGINT << {self.first_bits}", f"({first})"
        with_steps = f"(({time}) | {first}) << {self.n_steps}"
        return f"(((({with_steps}) | ({steps})) << {self.label_bits}) | ({label}))"


@dataclass(frozen=True, slots=True)
class Moves:
    """Events of a batch of users.

    Attributes
    ----------
    time : int64[n], ms since the period began
    steps : int64[n], a bit for each step that the event matches
    label : int64[n], place of the event's value in the breakdown
    user : int64[n], the number of the event's user in the batch
    start : int64[n], where that user's first event is
    """

    time: Ints
    steps: Ints
    label: Ints
    user: Ints
    start: Ints

    @classmethod
    def of_batch(cls, batch: pa.RecordBatch, layout: Layout) -> Moves:
        """Read a batch whose first column has a list for each user."""
        lists = batch.column(0)
        sizes = np.diff(lists.offsets.to_numpy())
        return cls.of(in_order(lists.flatten().to_numpy(zero_copy_only=False), sizes), sizes, layout)

    @classmethod
    def of(cls, packed: Ints, sizes: NDArray[np.integer], layout: Layout) -> Moves:
        """Take integers apart, of which each user in turn has so many."""
        sizes = sizes.astype(np.int64)
        first = np.cumsum(sizes) - sizes
        below = layout.n_steps + layout.label_bits
        return cls(
            time=packed >> (below + layout.first_bits),
            steps=(packed >> layout.label_bits) & ((1 << layout.n_steps) - 1),
            label=packed & ((1 << layout.label_bits) - 1),
            user=np.repeat(np.arange(len(sizes)), sizes),
            start=np.repeat(first, sizes),
        )


def in_order(packed: Ints, sizes: NDArray[np.integer]) -> Ints:
    """Sort each user's integers, of which each user in turn has so many: half the time that lists take in DuckDB."""
    distinct = np.unique(packed)
    bits = len(distinct).bit_length()
    keys = np.repeat(np.arange(len(sizes)) << bits, sizes) | np.searchsorted(distinct, packed)
    keys.sort()
    found: Ints = distinct[keys & ((1 << bits) - 1)] if len(distinct) else packed
    return found


def first_of_each(user: Ints, at: Ints) -> Ints:
    """Return of places in order the first of each user's."""
    if not len(at):
        return at
    of = user[at]
    return at[np.concatenate(([True], of[1:] != of[:-1]))]
