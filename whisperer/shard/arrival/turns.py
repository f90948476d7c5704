"""Order a block's events: number them within partitions, and split them into turns in which no user stops twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel

_MULTIPLIER = 0x9E3779B1  # 2^32 / golden ratio (Knuth, TAOCP 6.4)


@kernel
def _number(counters: Any, partition: Any, sequence: Any) -> None:
    for i in range(len(partition)):
        counters[partition[i]] += 1
        sequence[i] = counters[partition[i]]


@kernel
def _order(rows: Any, stops: Any, most: int, order: Any, ends: Any) -> Any:
    """Fill in the places by turn and each turn's end; return the number of turns and the most stops a row asked for.

    A small hash table counts each row's stops so far: that count is the turn an event belongs to.
    """
    n = len(rows)
    mask = 15
    while mask < 2 * n:
        mask = 2 * mask + 1
    cells = np.full(mask + 1, -1, np.int64)
    asked = np.zeros(mask + 1, np.int64)
    passed = np.zeros(mask + 1, np.int64)
    cell_of = np.empty(n, np.int64)
    longest = 0
    for i in range(n):
        cell = (rows[i] * _MULTIPLIER >> 7) & mask
        while cells[cell] != rows[i]:
            if cells[cell] < 0:
                cells[cell] = rows[i]
                break
            cell = (cell + 1) & mask
        cell_of[i] = cell
        asked[cell] += stops[i]
        longest = max(longest, asked[cell])
    turn = np.empty(n, np.int32)
    n_turns = 1
    for i in range(n):
        cell = cell_of[i]
        at, k = passed[cell], asked[cell]
        turn[i] = at if k <= most else at * most // k
        ends[turn[i]] += 1
        n_turns = max(n_turns, turn[i] + 1)
        passed[cell] += stops[i]
    place = np.empty(n_turns, np.int64)
    total = 0
    for k in range(n_turns):
        place[k] = total
        total += ends[k]
        ends[k] = total
    for i in range(n):
        order[place[turn[i]]] = i
        place[turn[i]] += 1
    return n_turns, longest


def number(counters: NDArray[np.int64], partition: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Give each event its partition's next sequence number, and advance ``counters``; int64, shape (n,)."""
    sequence = np.empty(len(partition), np.int64)
    _number(counters, partition, sequence)
    return sequence


def turns(rows: NDArray[np.int64], stops: NDArray[np.bool_], most: int) -> tuple[Iterator[NDArray[np.int64]], bool]:
    """Split events into turns: each row's events up to its first stop, then up to its second, and so on.

    Return (turns, whether some row asked for more than ``most`` stops). A turn lists places in order. A row has at most
    one stop per turn, as its last event there. A row that asks for more than ``most`` stops gets ``most``, evenly
    spread, its last one among them.
    """
    order, ends = np.empty(len(rows), np.int64), np.zeros(len(rows) + 1, np.int64)
    n_turns, longest = _order(rows, stops, most, order, ends)
    return (order[start:end] for start, end in pairwise([0, *ends[:n_turns].tolist()])), longest > most


def last_of(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each entry is the last one of its row; bool, shape (n,)."""
    _, from_the_end = np.unique(rows[::-1], return_index=True)
    found = np.zeros(len(rows), np.bool_)
    found[len(rows) - 1 - from_the_end] = True
    return found
