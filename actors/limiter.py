"""Limit rates: one token bucket for each key and tenant with a rate, whichever gateway replicas the calls come through.

Replicas lease tokens from it a few times a second and give back what they did not use; it never leases more than a rate
allows, so that all replicas together let through at most `rate * time + burst`. It lives in the directory actor and
only in memory: after that actor restarts every bucket is full, which is one more burst. The clock is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

BURST_S = 2.0
"""A caller that was silent may send this many seconds' worth at once."""

MAX_BUCKETS = 100_000
"""The bucket longest out of use is forgotten first; it is full again by then, unless this many are in use at once."""


class Ask(NamedTuple):
    """What a replica wants of one bucket: at least ``least`` tokens, else none, and up to ``most``.

    ``back`` are tokens of an earlier lease that it did not use.
    """

    name: str
    rate: float
    least: float
    most: float
    back: float = 0.0


class Lease(NamedTuple):
    """``granted`` tokens; what the bucket still has; seconds until ``least`` is available, 0 where it was granted."""

    granted: float
    left: float
    wait_s: float


class Limiter:
    """Keep the buckets. A bucket holds `rate * BURST_S` tokens, or 1 if that is less.

    A caller that asks for more than a bucket ever holds gets it from a full one and pays for it afterwards.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def lease(self, asks: list[Ask], now_s: float) -> list[Lease]:
        """Answer each ask; ``now_s`` is from a monotonic clock."""
        return [self._one(Ask(*ask), now_s) for ask in asks]

    def _one(self, ask: Ask, now_s: float) -> Lease:
        burst = burst_of(ask.rate)
        tokens, at = self._buckets.pop(ask.name, (burst, now_s))
        tokens = min(burst, tokens + max(0.0, now_s - at) * ask.rate + ask.back)
        needed = min(ask.least, burst)
        granted, wait_s = 0.0, 0.0
        if tokens < needed:
            wait_s = (needed - tokens) / ask.rate
        else:
            granted = max(ask.least, min(ask.most, tokens), 0.0)
            tokens -= granted
        self._buckets[ask.name] = (tokens, now_s)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return Lease(granted, max(0.0, tokens), wait_s)


def burst_of(rate: float) -> float:
    """Return the size of a bucket, in tokens."""
    return max(rate * BURST_S, 1.0)
