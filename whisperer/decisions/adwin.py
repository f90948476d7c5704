"""Whether the mean of a stream has changed, and since when: ADWIN over blocks of `BLOCK` values.

The window holds the newest values for which no cut into an older and a newer part shows means that differ; where one
does, the older part goes. What is kept of it are buckets of growing size, at most `SAME_SIZE` of each, so a window of n
values is about 5 log2(n / BLOCK) rows of three numbers. Guarantees: deterministic; the state is plain numbers; whatever
the batches are in which values come, the window is the same. River's detector sees single values, ours blocks of as
many as River waits for between two looks: they alarm together (tested), and ours costs a small part.

References
----------
Bifet & Gavalda, SDM 2007 (ADWIN2, with the normal approximation of its bound).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

BLOCK = 32
SAME_SIZE = 5
DELTA = 0.002
"""Bound on the probability of a false alarm at one look, over all its cuts."""
FEWEST = 5
"""Blocks on either side of a cut."""


class Adwin(msgspec.Struct, array_like=True):
    """Attributes
    ----------
    buckets : (count, mean, sum of squared deviations), oldest first
    rest : values that are no whole block yet
    least, most : of all values seen, which bound the range
    """

    buckets: list[tuple[int, float, float]] = []
    rest: list[float] = []
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: NDArray[np.float64]) -> bool:
        """Take up values, shape (n,), in any unit; whether an older part was dropped because the mean changed."""
        if not len(values):
            return False
        self.least, self.most = min(self.least, float(values.min())), max(self.most, float(values.max()))
        every = np.r_[self.rest, values]
        whole = len(every) // BLOCK * BLOCK
        self.rest = every[whole:].tolist()
        changed = False
        for block in every[:whole].reshape(-1, BLOCK):
            mean = float(block.mean())
            self.buckets.append((BLOCK, mean, float(((block - mean) ** 2).sum())))
            self._compress()
            changed |= self._cut()
        return changed

    @property
    def n(self) -> int:
        """Values in the window, but for those that are no whole block yet."""
        return sum(count for count, _, _ in self.buckets)

    def _compress(self) -> None:
        """Merge the two oldest of a size of which there is one too many, smaller sizes first."""
        end = len(self.buckets)
        while True:
            size = self.buckets[end - 1][0]
            first = end
            while first and self.buckets[first - 1][0] == size:
                first -= 1
            if end - first <= SAME_SIZE:
                return
            self.buckets[first : first + 2] = [_merged(self.buckets[first], self.buckets[first + 1])]
            end = first + 1

    def _cut(self) -> bool:
        """Drop buckets from the old end while some cut shows a change."""
        changed = False
        while self._has_changed():
            del self.buckets[0]
            changed = True
        return changed

    def _has_changed(self) -> bool:
        if len(self.buckets) < 2:
            return False
        count, mean, squares = np.array(self.buckets).T
        n, total = count.sum(), float(count @ mean)
        older = count.cumsum()[:-1]
        newer = n - older
        older_mean = (count * mean).cumsum()[:-1] / older
        newer_mean = (total - older * older_mean) / newer
        variance = (squares.sum() + float(count @ (mean - total / n) ** 2)) / n
        enough = np.minimum(older, newer) >= FEWEST * BLOCK
        room = 1 / older + 1 / newer
        log = math.log(2 * math.log(n) / DELTA)
        bound = np.sqrt(2 * room * variance * log) + 2 / 3 * (self.most - self.least) * room * log
        return bool((enough & (np.abs(older_mean - newer_mean) > bound)).any())


def _merged(one: tuple[int, float, float], other: tuple[int, float, float]) -> tuple[int, float, float]:
    n, gap = one[0] + other[0], other[1] - one[1]
    return n, one[1] + gap * other[0] / n, one[2] + other[2] + gap**2 * one[0] * other[0] / n
