"""All gateway replicas' reports: this one leaves its own with the directory actor, and takes the others' along.

A counter never goes back: what is exposed of a replica is always a report that it has left, its newest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from actors.routing import Shards
from whisperer.errors import UnavailableError

EVERY_S = 2.0


class Replicas:
    """``report`` makes this replica's."""

    def __init__(self, shards: Shards, report: Callable[[], dict[str, Any]]) -> None:
        self._shards = shards
        self._report = report
        self.n = 1
        """How many reported lately."""

    async def reports(self) -> list[dict[str, Any]]:
        """Of every replica that reported lately; of this one alone while the directory is away."""
        own = self._report()
        try:
            found = await self._shards.exchange_reports(own)
        except UnavailableError:
            return [own]
        self.n = len(found)
        return found

    async def tell_forever(self) -> None:
        while True:
            await self.reports()
            await asyncio.sleep(EVERY_S)
