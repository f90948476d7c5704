"""Put users in order: by a number, then by their own id; and keep the first of many.

Ids are compared by their UTF-8, which is the order of their characters' code points. A userId and an anonymousId that
are the same text are two users; the anonymous one comes first. So an order has no ties, whatever the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.ids import UserKey
from whisperer.profiles.keys import Keys
from whisperer.profiles.slabs import int64

LAST = np.iinfo(np.int64).max
"""The number of users who have none: they come last, in whichever direction."""

Held = TypeVar("Held")

Place = tuple[int, UserKey]
"""A user's place in an order: the number, and the key."""

_AT = np.uint64((1 << 63) - 1)
_HELD, _MET = 0, 1  # places in `counts`


@kernel
def _compare(ours: Any, at: int, end: int, theirs: Any, other_at: int, other_end: int) -> Any:
    """Return whether the first key's id comes before (-1), at (0) or after (1) the second's; both begin with a kind."""
    length, other_length = end - at, other_end - other_at
    for i in range(2, min(length, other_length)):
        a, b = ours[at + i], theirs[other_at + i]
        if a != b:
            return -1 if a < b else 1
    if length != other_length:
        return -1 if length < other_length else 1
    if ours[at] != theirs[other_at]:
        return -1 if ours[at] < theirs[other_at] else 1
    return 0


@kernel
def _is_before(heads: Any, text: Any, sign: int, number: int, row: int, other_number: int, other: int) -> Any:
    if number != other_number:
        return number < other_number
    at, end = int64(heads[row, 1] & _AT), int64(heads[row + 1, 1] & _AT)
    other_at, other_end = int64(heads[other, 1] & _AT), int64(heads[other + 1, 1] & _AT)
    return sign * _compare(text, at, end, text, other_at, other_end) < 0


@kernel
def _sink(heads: Any, text: Any, sign: int, numbers: Any, rows: Any, n: int) -> None:
    """Let the first entry sink to where none below it comes later."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            return
        if child + 1 < n and _is_before(
            heads, text, sign, numbers[child], rows[child], numbers[child + 1], rows[child + 1]
        ):
            child += 1
        if not _is_before(heads, text, sign, numbers[i], rows[i], numbers[child], rows[child]):
            return
        numbers[i], numbers[child] = numbers[child], numbers[i]
        rows[i], rows[child] = rows[child], rows[i]
        i = child


@kernel
def _offer(
    heads: Any, text: Any, sign: int, some: Any, their: Any, after: Any, after_key: Any, rows: Any, numbers: Any,
    counts: Any,
) -> None:  # fmt: skip
    """Keep the first of ``some`` rows, with ``their`` numbers, in a heap whose first entry is the last in order."""
    for k in range(len(some)):
        row, number = some[k], their[k]
        if len(after_key):
            if number < after:
                continue
            if number == after:
                at, end = int64(heads[row, 1] & _AT), int64(heads[row + 1, 1] & _AT)
                if sign * _compare(text, at, end, after_key, 0, len(after_key)) <= 0:
                    continue
        counts[_MET] += 1
        n = counts[_HELD]
        if n < len(rows):
            i = n
            rows[i], numbers[i] = row, number
            counts[_HELD] = n + 1
            while i:
                parent = (i - 1) // 2
                if not _is_before(heads, text, sign, numbers[parent], rows[parent], numbers[i], rows[i]):
                    break
                numbers[i], numbers[parent] = numbers[parent], numbers[i]
                rows[i], rows[parent] = rows[parent], rows[i]
                i = parent
        elif _is_before(heads, text, sign, number, row, numbers[0], rows[0]):
            rows[0], numbers[0] = row, number
            _sink(heads, text, sign, numbers, rows, n)


@kernel
def _begins(heads: Any, text: Any, rows: Any, sought: Any, found: Any) -> None:
    for k in range(len(rows)):
        row = rows[k]
        at, end = int64(heads[row, 1] & _AT), int64(heads[row + 1, 1] & _AT)
        found[k] = end - at >= len(sought)
        if found[k]:
            for i in range(len(sought)):
                if text[at + i] != sought[i]:
                    found[k] = False
                    break


class First:
    """Keep the first ``most`` rows in order, of those after a place.

    No row that is held may be vacated while more are offered: its key, and so its place, would be gone.
    """

    def __init__(self, most: int, after: Place | None, *, ids_descend: bool) -> None:
        self._sign = -1 if ids_descend else 1
        number, key = after or (0, "")
        self._after = number
        self._after_key = np.frombuffer(key.encode("utf-8", "surrogatepass"), np.uint8)
        self._rows, self._numbers = np.empty(most, np.int64), np.empty(most, np.int64)
        self._counts = np.zeros(2, np.int64)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows held, in no order."""
        return self._rows[: self._counts[_HELD]]

    @property
    def is_more(self) -> bool:
        """Whether others come after those that are held."""
        return int(self._counts[_MET]) > int(self._counts[_HELD])

    def can_enter(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which numbers do not rule their rows out."""
        found = np.ones(len(numbers), np.bool_) if not len(self._after_key) else numbers >= self._after
        if self.is_more:
            found &= numbers <= self._numbers[0]
        return found

    def offer(self, keys: Keys, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Take in rows with their numbers."""
        _offer(
            *keys.arrays(), self._sign, rows, numbers, self._after, self._after_key, self._rows, self._numbers,
            self._counts,
        )  # fmt: skip

    def places(self, keys: Keys) -> list[tuple[int, Place]]:
        """Return row and place of those that are held, in order."""
        held = zip(self.rows.tolist(), self._numbers.tolist(), keys.texts(self.rows), strict=False)
        return [(row, (number, key)) for row, number, key in in_order(held, self._sign)]


def in_order(held: Iterable[tuple[Held, int, UserKey]], sign: int) -> list[tuple[Held, int, UserKey]]:
    """Sort (anything, number, key) as this module defines it; ``sign`` is -1 where ids descend."""

    def id_of(one: tuple[Held, int, UserKey]) -> tuple[bytes, bytes]:
        key = one[2].encode("utf-8", "surrogatepass")
        return key[2:], key[:1]

    by_id = sorted(held, key=id_of, reverse=sign < 0)
    return sorted(by_id, key=lambda one: one[1])


def beginning(keys: Keys, rows: NDArray[np.int64], sought: UserKey) -> NDArray[np.bool_]:
    """Return which rows' keys begin with ``sought``."""
    found = np.empty(len(rows), np.bool_)
    _begins(*keys.arrays(), rows, np.frombuffer(sought.encode("utf-8", "surrogatepass"), np.uint8), found)
    return found
