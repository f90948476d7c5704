"""Keeps answers that are dear to make for a minute: open pages ask for the same one again and again.

Those who ask meanwhile share the answer, and a question about something else does not wait for it. A failure is not
kept. Bounded, so that one tenant's questions do not displace others' answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from whisperer.ids import TenantId

KEPT_S = 60.0
MOST_KEPT = 256
MOST_KEPT_OF_ONE = 16
SOON_S = 2.0

T = TypeVar("T")


def now_ms() -> int:
    """Return the time, ms UTC."""
    return time.time_ns() // 1_000_000


class Kept(Generic[T]):
    """The answers to one kind of question, by tenant and what it is about. Use from one event loop."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._asking: dict[tuple[TenantId, str], asyncio.Lock] = {}
        """One lock per answer that is being made now."""
        self._going_on: dict[tuple[TenantId, str], asyncio.Task[T]] = {}
        self._kept: dict[tuple[TenantId, str], tuple[int, T]] = {}

    async def get(self, tenant: TenantId, about: str, make: Callable[[int], Awaitable[T]]) -> T:
        """Return what is kept, or what ``make`` answers at this time (ms UTC). Raises what ``make`` raises."""
        place = tenant, about
        lock = self._asking.setdefault(place, asyncio.Lock())
        try:
            async with lock:
                now = self._clock()
                kept = self._kept.get(place)
                if kept is None or now - kept[0] >= KEPT_S * 1000:
                    kept = now, await make(now)
                    self._keep(place, kept)
                return kept[1]
        finally:
            if not lock.locked() and self._asking.get(place) is lock:
                del self._asking[place]

    async def soon(
        self, tenant: TenantId, about: str, make: Callable[[int], Awaitable[T]], within_s: float = SOON_S
    ) -> T | None:
        """Return the answer, or None if it is not there within a moment: it is made all the same, for the next who ask.

        Raises what ``make`` raises.
        """
        place = tenant, about
        task = self._going_on.get(place)
        if task is None:
            task = self._going_on[place] = asyncio.ensure_future(self.get(tenant, about, make))
            task.add_done_callback(lambda made: self._end(place, made))
        done, _ = await asyncio.wait({task}, timeout=within_s)
        return task.result() if done else None

    def _end(self, place: tuple[TenantId, str], made: asyncio.Task[T]) -> None:
        """Forget what went on; if nobody waits any more for what it raised, nobody has to."""
        self._going_on.pop(place, None)
        if not made.cancelled():
            made.exception()

    def _keep(self, place: tuple[TenantId, str], kept: tuple[int, T]) -> None:
        """Keep an answer; the tenant's oldest beyond MOST_KEPT_OF_ONE go first."""
        self._kept.pop(place, None)
        mine = [one for one in self._kept if one[0] == place[0]]
        for oldest in mine[: max(0, len(mine) + 1 - MOST_KEPT_OF_ONE)]:
            del self._kept[oldest]
        self._kept[place] = kept
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
