"""The order of a block's events: their numbers within partitions, and turns in which no user stops twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.words import kernel

_MULTIPLIER = 0x9E3779B1  # 2^32 / golden ratio (Knuth, TAOCP 6.4)


@kernel
def _number(counters: Any, partition: Any, sequence: Any) -> None:
    for i in range(len(partition)):
        counters[partition[i]] += 1
        sequence[i] = counters[partition[i]]


@kernel
def _order(rows: Any, stops: Any, order: Any, ends: Any) -> Any:
    """Places by turn, and where each turn ends; the number of turns.

    A small hash table counts the stops of each row so far: a row's events belong to the turn of that number.
    """
    n = len(rows)
    mask = 15
    while mask < 2 * n:
        mask = 2 * mask + 1
    cells = np.full(mask + 1, -1, np.int64)
    stopped = np.zeros(mask + 1, np.int32)
    turn = np.empty(n, np.int32)
    n_turns = 1
    for i in range(n):
        cell = (rows[i] * _MULTIPLIER >> 7) & mask
        while cells[cell] != rows[i]:
            if cells[cell] < 0:
                cells[cell] = rows[i]
                break
            cell = (cell + 1) & mask
        turn[i] = stopped[cell]
        ends[turn[i]] += 1
        n_turns = max(n_turns, turn[i] + 1)
        if stops[i]:
            stopped[cell] += 1
    place = np.empty(n_turns, np.int64)
    total = 0
    for k in range(n_turns):
        place[k] = total
        total += ends[k]
        ends[k] = total
    for i in range(n):
        order[place[turn[i]]] = i
        place[turn[i]] += 1
    return n_turns


def number(counters: NDArray[np.int64], partition: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The next sequence numbers of each event's partition, in order; int64, shape (n,)."""
    sequence = np.empty(len(partition), np.int64)
    _number(counters, partition, sequence)
    return sequence


def turns(rows: NDArray[np.int64], stops: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Places of each row's events up to its first stop, then up to its second, and so on, each turn in order.

    So a row has one stop a turn at most, and that is its last event of the turn.
    """
    order, ends = np.empty(len(rows), np.int64), np.zeros(len(rows) + 1, np.int64)
    start = 0
    for end in ends[: _order(rows, stops, order, ends)].tolist():
        yield order[start:end]
        start = end
