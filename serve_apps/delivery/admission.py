"""Lets as many messages at a time to a provider's adapter as it has connections, and has each noted as it goes.

What finds no connection free within `ADMISSION_S` is `waiting`: nothing was begun. What goes is noted after that wait,
so that whatever kills this process makes no more attempts doubtful than there were connections.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from serve_apps.delivery.provider import ADMISSION_S, Provider, waiting
from whisperer.delivery.dispatch import Dispatch, Receipt

LEAST_PART = 0.6

MayLeave = Callable[[], Awaitable[Receipt | None]]
"""Is told that an attempt is about to go; returns None if it may, or else its receipt."""


class Admitting(Protocol):
    """Carries the messages of one account."""

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        """Make one attempt, if it may leave, and return its receipt. None: repeating it is harmless."""
        ...

    async def aclose(self) -> None:
        """Close connections. Called once nothing is being sent."""
        ...


class Admission:
    """An adapter with its connections. Use from one event loop."""

    def __init__(self, adapter: Provider, *, admission_s: float = ADMISSION_S) -> None:
        self._adapter = adapter
        self._admission_s = admission_s
        self._free = asyncio.Semaphore(adapter.connections) if adapter.connections else None

    def __repr__(self) -> str:
        return repr(self._adapter)

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        if self._free is None:
            return await self._go(dispatch, may_leave)
        if not await _admitted(self._free, self._admission_s):
            return waiting(dispatch, self._adapter.provider)
        try:
            return await self._go(dispatch, may_leave)
        finally:
            self._free.release()

    async def aclose(self) -> None:
        await self._adapter.aclose()

    async def _go(self, dispatch: Dispatch, may_leave: MayLeave | None) -> Receipt:
        known = None if may_leave is None else await may_leave()
        return await self._adapter.send(dispatch) if known is None else known


async def _admitted(free: asyncio.Semaphore, admission_s: float) -> bool:
    """Return whether a connection became free within ``admission_s``, or rather within a part of it by lot: what came
    together does not give up together, which would keep the process from everybody else for a moment."""
    try:
        async with asyncio.timeout(admission_s * random.uniform(LEAST_PART, 1.0)):  # noqa: S311  a lot, no secret
            await free.acquire()
    except TimeoutError:
        return False
    return True
