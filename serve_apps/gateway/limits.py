"""Token buckets: how many events a tenant and how many requests a key may send.

One bucket a replica; with several replicas each has its share, so the overshoot is at most what an uneven spread of
connections lets through. A rate of 0 means no limit. The clock is an argument.
"""

from __future__ import annotations

from collections import OrderedDict

BURST_S = 2.0
"""A caller that was silent may send this many seconds' worth at once."""

MAX_BUCKETS = 100_000


class Buckets:
    """``rate`` is tokens a second for each name."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, count: int, now_s: float) -> float | None:
        """Take tokens; None when granted, else the seconds until they would be."""
        if self._rate <= 0:
            return None
        burst = max(self._rate * BURST_S, 1.0)
        tokens, at = self._held.pop(name, (burst, now_s))
        tokens = min(burst, tokens + (now_s - at) * self._rate)
        granted = tokens >= min(count, burst)
        self._held[name] = (tokens - count if granted else tokens, now_s)
        if len(self._held) > MAX_BUCKETS:
            self._held.popitem(last=False)
        return None if granted else (min(count, burst) - tokens) / self._rate
