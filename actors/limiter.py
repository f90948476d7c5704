"""Limit rates: one bucket for each key and tenant with a rate, whichever gateway replicas the calls come through.

A bucket is one number, the time at which everything granted so far would have arrived at the rate: the generic cell
rate algorithm (GCRA; ITU-T I.371, virtual scheduling). :func:`available` and :func:`taken` are all of it.

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


def available(arrival_s: float, now_s: float, rate: float) -> float:
    """Return the tokens that may be granted now, in [0, burst]; below 0 while a large grant is still being paid for.

    ``arrival_s``: the theoretical arrival time (TAT) of the next token.
    """
    return burst_of(rate) - max(0.0, arrival_s - now_s) * rate


def taken(arrival_s: float, now_s: float, rate: float, tokens: float) -> float:
    """Return the theoretical arrival time after tokens were granted; below 0, they are given back."""
    return max(arrival_s, now_s) + tokens / rate


class Limiter:
    """Keep the buckets. A bucket holds `rate * BURST_S` tokens, or 1 if that is less.

    A caller that asks for more than a bucket ever holds gets it from a full one and pays for it afterwards.
    """

    def __init__(self) -> None:
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        """Theoretical arrival times, by bucket, the one longest out of use first."""

    def lease(self, asks: list[Ask], now_s: float) -> list[Lease]:
        """Answer each ask; ``now_s`` is from a monotonic clock."""
        return [self._one(Ask(*ask), now_s) for ask in asks]

    def _one(self, ask: Ask, now_s: float) -> Lease:
        arrival_s = taken(self._arrivals.pop(ask.name, now_s), now_s, ask.rate, -ask.back)
        tokens, needed = available(arrival_s, now_s, ask.rate), min(ask.least, burst_of(ask.rate))
        granted, wait_s = 0.0, 0.0
        if tokens < needed:
            wait_s = (needed - tokens) / ask.rate
        else:
            granted = max(ask.least, min(ask.most, tokens), 0.0)
            arrival_s = taken(arrival_s, now_s, ask.rate, granted)
        self._arrivals[ask.name] = arrival_s
        if len(self._arrivals) > MAX_BUCKETS:
            self._arrivals.popitem(last=False)
        return Lease(granted, max(0.0, tokens - granted), wait_s)


def burst_of(rate: float) -> float:
    """Return the size of a bucket, in tokens."""
    return max(rate * BURST_S, 1.0)
