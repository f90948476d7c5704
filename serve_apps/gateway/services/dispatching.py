"""Hands a message that belongs to no decision to the delivery application, and says how many of them a tenant has.

A tenant has :data:`AT_ONCE` of them, and then one every :data:`EVERY_S`. There is one attempt, which goes on when
nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from cluster.control_plane import ControlPlane
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.errors import ConflictError, TooManyError, UnavailableError
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import CHANNELS

AT_ONCE, EVERY_S = 10, 30.0
_KEEPS_WITH_USERS = "inbox"

Take = Callable[[str, float, float], Awaitable[float | None]]
"""(name, tokens, rate a second) -> None, or the seconds until there are so many."""


class Delivery(Protocol):
    """The part of the delivery application that is called here."""

    def stream(self, batch: list[Dispatch]) -> AsyncIterator[list[Receipt]]:
        """Yield receipts as they become known. Raises UnavailableError."""


class Dispatching:
    """Sends single messages. Use from one event loop."""

    def __init__(self, plane: ControlPlane, delivery: Delivery, take: Take) -> None:
        self._plane = plane
        self._delivery = delivery
        self._take = take

    async def admit(self, tenant: TenantId, channel: str) -> None:
        """Let one message through. Raises ConflictError (`kept_with_users`) and TooManyError (`too_many_tests`)."""
        found = await asyncio.to_thread(self._plane.channel, tenant, channel)
        provider = CHANNELS[channel].unset if found is None else found.provider
        if provider == _KEEPS_WITH_USERS:
            message = "the inbox keeps messages with their users, and a test changes no user: look at the preview"
            raise ConflictError(message, code="kept_with_users")
        wait_s = await self._take(f"tests {tenant}", 1 / AT_ONCE, 1 / (AT_ONCE * EVERY_S))
        if wait_s is not None:
            message = f"a tenant sends {AT_ONCE} tests at once, and then one every {EVERY_S:g} s"
            raise TooManyError(message, code="too_many_tests", retry_after_s=min(wait_s, EVERY_S))

    async def once(self, dispatch: Dispatch) -> Receipt:
        """Return the receipt of one attempt. Raises UnavailableError."""
        try:
            found = [receipt async for receipts in self._delivery.stream([dispatch]) for receipt in receipts]
        except UnavailableError as error:
            raise UnavailableError(f"{error.message}; the test may have been sent", retry_after_s=5.0) from error
        return found[0]
