"""Bounds what a tenant's questions cost: requests a minute, and tokens a day.

Requests are leased, one by one, from the limiter that all processes share (:mod:`actors.limiter`); a burst is two
seconds' worth. Tokens are counted here and joined with those of other processes in the control plane every
`JOIN_EVERY_S`, so that a day's budget outlives restarts; it may be exceeded by what all processes spend between two
joins. Where the limiter or the control plane is away, nothing is asked: the template's words cost nothing.
Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from actors.limiter import Ask, Lease
from actors.telemetry.logs import Seldom
from whisperer.content.generation.ruling import Ruling
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.errors import WhispererError
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

JOIN_EVERY_S = 5.0
JOIN_PATIENCE_S = 0.5
MAX_TENANTS = 10_000

LeaseTokens = Callable[[list[Ask]], Awaitable[list[Lease]]]

_log = logging.getLogger(__name__)


class Plane(Protocol):
    """The part of the control plane that is used here; it blocks."""

    def spend_generator_tokens(self, tenant_id: TenantId, day: int, tokens: int) -> int:
        """Add to a day's tokens (days since 1970, UTC), and return all that were spent on it."""


@dataclass(slots=True)
class _Spent:
    day: int = -1
    total: int = 0
    unjoined: int = 0
    joined_at: float = -math.inf
    asks_at: float = 0.0
    """When the limiter will have a token again."""
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)


class Allowance:
    """What tenants may still ask. ``clock``: seconds, monotonic; ``today``: days since 1970, UTC."""

    def __init__(
        self,
        lease: LeaseTokens,
        plane: Plane,
        *,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], int] = lambda: time.time_ns() // 1_000_000 // DAY_MS,
    ) -> None:
        self._lease = lease
        self._plane = plane
        self._clock = clock
        self._today = today
        self._spent: dict[TenantId, _Spent] = {}
        self._seldom = Seldom(_log)

    async def take(self, tenant: TenantId, settings: GeneratorSettings) -> Ruling | None:
        """Return None if one question may be asked now, otherwise why not."""
        spent = self._of(tenant)
        if not await self._join(tenant, spent) or spent.total + spent.unjoined >= settings.tokens_per_day:
            return Ruling.OVER_BUDGET
        now = self._clock()
        if now < spent.asks_at:
            return Ruling.OVER_RATE
        try:
            (lease,) = await self._lease([Ask(f"generator:{tenant}", settings.requests_per_minute / 60, 1.0, 1.0)])
        except WhispererError:
            return Ruling.OVER_RATE
        if lease.granted >= 1:
            return None
        spent.asks_at = now + min(lease.wait_s, 1.0)
        return Ruling.OVER_RATE

    def spent(self, tenant: TenantId, tokens: int) -> None:
        """Note what a question cost."""
        self._of(tenant).unjoined += tokens

    def _of(self, tenant: TenantId) -> _Spent:
        held = self._spent.get(tenant)
        if held is None:
            if len(self._spent) >= MAX_TENANTS:
                self._spent.pop(next(iter(self._spent)))
            held = self._spent[tenant] = _Spent()
        return held

    async def _join(self, tenant: TenantId, spent: _Spent) -> bool:
        """Join with the other processes if it is time; return whether the total is known at all."""
        today = self._today()
        if spent.day != today:
            spent.day, spent.total, spent.joined_at = today, 0, -math.inf
        if self._clock() - spent.joined_at < JOIN_EVERY_S:
            return True
        if spent.joining.locked() and spent.joined_at > -math.inf:
            return True  # somebody is at it
        async with spent.joining:
            if self._clock() - spent.joined_at < JOIN_EVERY_S:
                return True
            tokens = spent.unjoined
            try:
                async with asyncio.timeout(JOIN_PATIENCE_S):
                    spent.total = await asyncio.to_thread(self._plane.spend_generator_tokens, tenant, today, tokens)
            except (WhispererError, TimeoutError) as error:
                # Counted again if it was joined after all: on the side of spending less.
                self._seldom.log(logging.WARNING, "join", "tokens of today are not known: %r", error)
                return spent.joined_at > -math.inf
            spent.unjoined -= tokens
            spent.joined_at = self._clock()
            return True
