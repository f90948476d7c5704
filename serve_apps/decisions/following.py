"""The policies a replica decides by: whatever the learner published last, followed by long polls.

While the learner is away, decisions go on with what is here; before the first publication that is the prior. Leaves to
others: deciding, and what a publication holds (:mod:`whisperer.decisions.posterior`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from whisperer.decisions.linear import OtherContextError
from whisperer.decisions.posterior import Posterior, decode
from whisperer.errors import UnavailableError

WAIT_S = 10.0
"""Longest a poll waits; the learner answers at once when there is something new."""
AWAY_S = 0.5
"""Pause before a learner that is away is asked again."""

Ask = Callable[[int, float], Awaitable[tuple[int, bytes]]]
"""The learner's ``policies``. Raises UnavailableError while it is away."""

_log = logging.getLogger(__name__)


class Following:
    """Parameters
    ----------
    ask : the learner
    clock : seconds, monotonic

    Attributes
    ----------
    policies : by (tenant, campaign)
    number : of the newest publication taken over, 0 before the first
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._heard_at: float | None = None
        self.policies: dict[tuple[str, str], Posterior] = {}
        self.number = 0

    async def poll(self) -> None:
        """Wait for one publication and take it over. Raises UnavailableError, OtherContextError."""
        number, encoded = await self._ask(self.number, WAIT_S)
        published = decode(encoded)
        # A learner that counts lower than we do began anew: nothing that it does not know may stay.
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

    def status(self) -> dict[str, Any]:
        """``age_s``: time since the learner last answered, None if it never did."""
        age_s = None if self._heard_at is None else round(self._clock() - self._heard_at, 3)
        return {"number": self.number, "campaigns": len(self.policies), "age_s": age_s}
