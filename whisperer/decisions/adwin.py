"""Detect whether the mean of a stream has changed, and since when: ADWIN over blocks of `BLOCK` values.

The window holds the longest run of newest values in which no split into an older and a newer part shows different
means; when a split does, the older part is dropped. Values are kept as buckets of growing size, at most `SAME_SIZE` of
each, so a window of n values takes about 5 log2(n / BLOCK) rows of three numbers. Guarantees: deterministic; the state
is plain numbers; the window does not depend on how values are batched. River's detector looks at single values, ours at
blocks of as many as River collects between two looks: they alarm together (tested), and ours costs far less.

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
"""Blocks required on either side of a cut."""


class Adwin(msgspec.Struct, array_like=True):
    """Hold one stream's window.

    Attributes
    ----------
    buckets : (count, mean, sum of squared deviations), oldest first
    rest : values that do not fill a block yet
    least, most : of all values seen, which bound the range
    """

    buckets: list[tuple[int, float, float]] = []
    rest: list[float] = []
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: NDArray[np.float64]) -> bool:
        """Add values, shape (n,), in any unit; return whether an older part was dropped because the mean changed."""
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
        """Number of values in the window, except those that do not fill a block yet."""
        return sum(count for count, _, _ in self.buckets)

    def _compress(self) -> None:
        """Merge the two oldest buckets of any size that has one too many, smaller sizes first."""
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
        """Drop the oldest buckets until no cut shows a change; return whether any was dropped."""
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
