"""Limits how much a tenant and a key may send over all replicas, with tokens leased from the limiter
(:mod:`actors.limiter`).

A replica takes tokens from its lease, and asks for more while half of them are left, so that nobody waits for it: one
call for all names at a time, at most `ROUNDS_PER_S` a second, never one per request. Leased tokens that are more than
the present pace needs go back after a second, so that no replica keeps what another could use.

Guarantees: while the limiter answers, the replicas together admit exactly what the rate and one burst allow. While it
does not, each continues alone with an equal part of the rate, by the number of replicas it last knew of: the overshoot
is one more burst in all, plus the part of each replica that joins meanwhile. A rate of 0 means no limit.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from actors.limiter import MAX_BUCKETS, Ask, Lease, Limiter, burst_of
from whisperer.errors import UnavailableError

ROUNDS_PER_S = 20
LEASE_S = 0.25
"""A lease covers the present shortage, and this much more time at the present pace; a round's at the full rate, if
that is more."""
KEPT_S = 1.0
"""After this time without a lease, tokens that the pace does not need go back."""
AWAY_S = 1.0
"""A limiter that did not answer is asked again after this time."""


@dataclass(slots=True)
class _Held:
    """The state of one name: what is leased here, what the limiter still had, and what ran short since it was asked."""

    name: str
    rate: float
    tokens: float = 0.0
    left: float = math.inf
    used: float = 0.0
    pace: float = 0.0
    """Tokens used per second, of late."""
    is_low: bool = False
    """More is to be asked for, although nobody waits for it."""
    asked_at: float = -math.inf
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
        self._is_again_due = False
        self._away_until = -math.inf
        self._alone = Limiter()
        self.n_alone = 0
        """Requests that this replica judged alone because the limiter was away."""

    async def take(self, name: str, count: float, rate: float) -> float | None:
        """Take tokens; return None if granted, otherwise the seconds until they would be."""
        return await self.take_all([(name, rate)], count)

    async def take_all(self, rates: Iterable[tuple[str, float]], count: float) -> float | None:
        """Take tokens of each (name, rate), or of none; return None if granted, otherwise the seconds until they
        would be.
        """
        limited = [(name, rate) for name, rate in rates if rate > 0]
        while True:
            found = [self._of(name, rate) for name, rate in limited]
            short = [held for held in found if held.tokens < count]
            now = self._clock()
            if short and now < self._away_until:
                return self._take_alone(found, count)
            if not short:
                for held in found:
                    held.tokens -= count
                    held.used += count
                    self._look_ahead(held)
                return None
            for held in short:
                if now < held.refused_until and count - held.tokens >= held.refused:
                    return held.refused_until - now
            for held in short:
                held.least = min(held.least, count - held.tokens)
                held.short += count - held.tokens
            await self._next_round()
            for held in short:
                missing = min(count, burst_of(held.rate)) - held.tokens - held.left
                if held.leased_at >= now and held.tokens < count and missing > 0:
                    return max(held.refused_until - self._clock(), missing / held.rate, 1 / held.rate)

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
            if now >= self._away_until and any(_may_go_back(held, now) for held in self._held.values()):
                await self._next_round()

    def _of(self, name: str, rate: float) -> _Held:
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Held(name, rate)
            if len(self._held) > MAX_BUCKETS:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(name)
        return held

    def _look_ahead(self, held: _Held) -> None:
        """Have more leased before the tokens run out, unless the limiter has none."""
        if held.tokens >= _supply(held) / 2 or held.is_low or held.left <= 0:
            return
        is_asked_for = held.asked_at > held.leased_at
        if not is_asked_for and self._clock() >= self._away_until:
            held.is_low = True
            self._is_again_due = True
            self._begin_round()

    def _take_alone(self, found: list[_Held], count: float) -> float | None:
        """Judge a request by this replica's part of the rates that are used up here."""
        self.n_alone += 1
        part = 1 / max(1, self._n_replicas())
        short = [held for held in found if held.tokens < count]
        asks = [Ask(held.name, held.rate * part, count, count) for held in short]
        waits = [lease.wait_s for lease in self._alone.lease(asks, self._clock()) if lease.granted < count]
        return max(waits, default=None)

    async def _next_round(self) -> None:
        """Join the round that is waiting to be sent, or begin one; a round already sent does not include us."""
        await asyncio.shield(self._begin_round())

    def _begin_round(self) -> asyncio.Task[None]:
        if self._round is None or self._round.done():
            self._round = asyncio.ensure_future(self._one_round())
            self._round.add_done_callback(self._after_round)
        return self._round

    def _after_round(self, _: asyncio.Task[None]) -> None:
        if self._is_again_due:  # somebody ran low after it was sent
            self._begin_round()

    async def _one_round(self) -> None:
        pause_s = self._round_at + 1 / ROUNDS_PER_S - self._clock()
        if pause_s > 0:
            await self._sleep(pause_s)
        now = self._round_at = self._clock()
        self._is_again_due = False
        asked: list[tuple[_Held, Ask]] = []
        for name, held in self._held.items():
            if not (held.short or held.is_low or _may_go_back(held, now)):
                continue
            recent = held.used / max(now - held.asked_at, 1 / ROUNDS_PER_S)
            if held.short or held.is_low:
                held.pace = min(held.rate, max(recent, (held.pace + recent) / 2))
                least, supply = held.least if held.short else 0.0, max(0.0, _supply(held) - held.tokens)
                asked.append((held, Ask(name, held.rate, least, held.short + supply)))
            else:
                held.pace = recent
                needed = held.pace * LEASE_S
                back = held.tokens - (min(needed, held.tokens) if needed >= 1 else 0.0)
                asked.append((held, Ask(name, held.rate, 0.0, 0.0, back)))
                held.tokens -= back
            held.asked_at, held.is_low = now, False
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


def _supply(held: _Held) -> float:
    """Return the tokens to have in store: for some time at the pace, and until the next round at any pace."""
    return max(held.pace * LEASE_S, held.rate / ROUNDS_PER_S)


def _may_go_back(held: _Held, now: float) -> bool:
    return held.tokens > 0 and now - held.asked_at > KEPT_S
