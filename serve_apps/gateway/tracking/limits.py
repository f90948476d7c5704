"""Limits how much a tenant and a key may send over all replicas, with tokens leased from the limiter
(:mod:`actors.limiter`).

A replica takes tokens from its lease, and asks for more when they run short: one call for all names at a time, at most
`ROUNDS_PER_S` a second, never one per request. Leased tokens that are not used go back after a second, so that no
replica keeps what another could use.

Guarantees: while the limiter answers, the replicas together admit exactly what the rate and one burst allow. While it
does not, each continues alone with an equal part of the rate, by the number of replicas it last knew of: the overshoot
is one more burst in all, plus the part of each replica that joins meanwhile. A rate of 0 means no limit.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from actors.limiter import MAX_BUCKETS, Ask, Lease, Limiter, burst_of
from whisperer.errors import UnavailableError

ROUNDS_PER_S = 20
LEASE_S = 0.25
"""A lease covers the present shortage, and this much more time at the recent pace."""
KEPT_S = 1.0
"""Unused tokens go back after this time."""
AWAY_S = 1.0
"""A limiter that did not answer is asked again after this time."""


@dataclass(slots=True)
class _Held:
    """The state of one name: what is leased here, what the limiter still had, and what ran short since the last
    round."""

    rate: float
    tokens: float = 0.0
    left: float = math.inf
    used: float = 0.0
    least: float = math.inf
    short: float = 0.0
    leased_at: float = -math.inf
    refused: float = math.inf
    """The limiter does not have this many tokens"""
    refused_until: float = -math.inf
    """before this time."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The current quota of a name, for the headers RateLimit and RateLimit-Policy."""

    quota: int
    remaining: int
    reset_s: int


class Limits:
    """One replica's limits.

    ``lease`` asks the limiter, and raises UnavailableError while it is away; ``n_replicas`` then share a rate.
    """

    def __init__(
        self,
        lease: Callable[[list[Ask]], Awaitable[list[Lease]]],
        *,
        n_replicas: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lease = lease
        self._n_replicas = n_replicas
        self._clock = clock
        self._sleep = sleep
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._round: asyncio.Task[None] | None = None
        self._round_at = -math.inf
        self._away_until = -math.inf
        self._alone = Limiter()
        self.n_alone = 0
        """Requests that this replica judged alone because the limiter was away."""

    async def take(self, name: str, count: float, rate: float) -> float | None:
        """Take tokens; return None if granted, otherwise the seconds until they would be."""
        if rate <= 0:
            return None
        while not self._grant(held := self._of(name, rate), count):
            now = self._clock()
            if now < self._away_until:
                return self._take_alone(name, count, rate)
            short = count - held.tokens
            if now < held.refused_until and short >= held.refused:
                return held.refused_until - now
            held.least = min(held.least, short)
            held.short += short
            await self._next_round()
            if held.leased_at >= now and not self._grant(held, count):
                missing = min(count, burst_of(rate)) - held.tokens - held.left
                return max(held.refused_until - self._clock(), missing / rate, 1 / rate)
            if held.leased_at >= now:
                return None
        return None

    def standing(self, name: str, rate: float) -> Quota:
        """Return a name's standing as of the last lease; makes no call."""
        burst = burst_of(rate)
        held = self._held.get(name)
        remaining = burst if held is None else min(burst, held.tokens + held.left)
        return Quota(int(burst), max(0, int(remaining)), math.ceil(max(0.0, burst - remaining) / rate))

    async def give_back_forever(self) -> None:
        """Return unused tokens to the limiter. Runs until cancelled."""
        while True:
            await self._sleep(KEPT_S)
            now = self._clock()
            if now >= self._away_until and any(_is_stale(held, now) for held in self._held.values()):
                await self._next_round()

    def _of(self, name: str, rate: float) -> _Held:
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Held(rate)
            if len(self._held) > MAX_BUCKETS:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(name)
        return held

    @staticmethod
    def _grant(held: _Held, count: float) -> bool:
        if held.tokens < count:
            return False
        held.tokens -= count
        held.used += count
        return True

    def _take_alone(self, name: str, count: float, rate: float) -> float | None:
        self.n_alone += 1
        part = rate / max(1, self._n_replicas())
        found = self._alone.lease([Ask(name, part, count, count)], self._clock())[0]
        return None if found.granted >= count else found.wait_s

    async def _next_round(self) -> None:
        """Join the round that is waiting to be sent, or begin one; a round already sent does not include us."""
        if self._round is None or self._round.done():
            self._round = asyncio.ensure_future(self._one_round())
        await asyncio.shield(self._round)

    async def _one_round(self) -> None:
        pause_s = self._round_at + 1 / ROUNDS_PER_S - self._clock()
        if pause_s > 0:
            await self._sleep(pause_s)
        now = self._round_at = self._clock()
        asked: list[tuple[_Held, Ask]] = []
        for name, held in self._held.items():
            if held.short:
                recent_s = max(now - held.leased_at, LEASE_S)
                most = held.short + held.used / recent_s * LEASE_S
                asked.append((held, Ask(name, held.rate, held.least, most)))
            elif _is_stale(held, now):
                asked.append((held, Ask(name, held.rate, 0.0, 0.0, held.tokens)))
                held.tokens = 0.0
            else:
                continue
            held.least, held.short, held.used = math.inf, 0.0, 0.0
        if not asked:
            return
        try:
            leases = await self._lease([ask for _, ask in asked])
        except UnavailableError:
            self._away_until = self._clock() + AWAY_S
            return
        at = self._clock()
        for (held, ask), lease in zip(asked, leases, strict=True):
            granted, held.left, wait_s = lease
            held.tokens += granted
            held.leased_at = now
            held.refused, held.refused_until = (ask.least, at + wait_s) if wait_s else (math.inf, -math.inf)


def _is_stale(held: _Held, now: float) -> bool:
    return held.tokens > 0 and now - held.leased_at > KEPT_S
