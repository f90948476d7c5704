"""Keeps the policies a replica decides by current: the learner's last publication, followed by long polls.

While the learner is away, decisions continue with the policies at hand; before the first publication that is the prior.
Leaves to others: deciding, and what a publication holds (:mod:`whisperer.decisions.posterior`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from whisperer.decisions.linear import OtherContextError
from whisperer.decisions.posterior import Posterior, decode
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

WAIT_S = 10.0
"""Longest wait of a poll; the learner answers at once when there is something new."""
AWAY_S = 0.5
"""Pause before asking again a learner that is away."""

Ask = Callable[[int, float], Awaitable[tuple[int, bytes]]]
"""The learner's ``policies``. Raises UnavailableError while it is away."""

_log = logging.getLogger(__name__)


class FollowingStatus(msgspec.Struct):
    """Which publication a replica decides by. ``age_s``: since the learner's last answer, None if it never answered."""

    number: int
    campaigns: int
    age_s: float | None


class Following:
    """The policies of a replica.

    Parameters
    ----------
    ask : the learner
    clock : seconds, monotonic

    Attributes
    ----------
    policies : by (tenant, campaign)
    number : of the newest publication adopted, 0 before the first
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._heard_at: float | None = None
        self.policies: dict[tuple[TenantId, str], Posterior] = {}
        self.number = 0

    async def poll(self) -> None:
        """Wait for one publication and adopt it. Raises UnavailableError, OtherContextError."""
        number, encoded = await self._ask(self.number, WAIT_S)
        published = decode(encoded)
        # A learner with a lower number than ours has started afresh: nothing it does not know may stay.
        kept = self.policies if number >= self.number > 0 else {}
        self.policies = {**kept, **published}
        self.number = number
        self._heard_at = self._clock()

    async def forever(self) -> None:
        while True:
            try:
                await self.poll()
            except UnavailableError:
                await asyncio.sleep(AWAY_S)
            except OtherContextError as error:
                _log.warning("the learner's policies are of another release (%s); going on with what is here", error)
                await asyncio.sleep(WAIT_S)
            except Exception:
                _log.exception("the learner could not be asked; trying again")
                await asyncio.sleep(AWAY_S)

    def status(self) -> FollowingStatus:
        """Return the replica's view of the learner."""
        age_s = None if self._heard_at is None else round(self._clock() - self._heard_at, 3)
        return FollowingStatus(self.number, len(self.policies), age_s)
