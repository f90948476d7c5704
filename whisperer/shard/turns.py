"""The order of a block's events: their numbers within partitions, and turns in which no user stops twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def number(counters: NDArray[np.int64], partition: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The next sequence numbers of each event's partition, in order; int64, shape (n,)."""
    order = np.argsort(partition, kind="stable")
    grouped = partition[order]
    first = np.append(True, grouped[1:] != grouped[:-1])[: len(grouped)]
    place = np.arange(len(grouped))
    rank = place - np.maximum.accumulate(np.where(first, place, 0)) if len(grouped) else place
    sequence = np.empty(len(grouped), np.int64)
    sequence[order] = counters[grouped] + rank + 1
    counters += np.bincount(partition, minlength=len(counters))
    return sequence


def turns(rows: NDArray[np.int64], stops: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Places of each row's events up to its first stop, then up to its second, and so on, each turn in order.

    So a row has one stop a turn at most, and that is its last event of the turn.
    """
    order = np.argsort(rows, kind="stable")
    grouped = rows[order]
    first = np.append(True, grouped[1:] != grouped[:-1])
    before: NDArray[np.int64] = np.cumsum(stops[order]) - stops[order]
    rank = np.empty(len(rows), np.int64)
    rank[order] = before - np.maximum.accumulate(np.where(first, before, 0))
    by_turn = np.argsort(rank, kind="stable")
    yield from np.split(by_turn, np.flatnonzero(np.diff(rank[by_turn])) + 1)
