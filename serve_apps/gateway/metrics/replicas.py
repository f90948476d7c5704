"""Collects all gateway replicas' reports: this one leaves its own with the directory actor and fetches the others'.

A counter never goes back: what is exposed for a replica is always its newest report left with the directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.calls.directory import DirectoryCalls
from actors.calls.plain import plain, read
from serve_apps.gateway.metrics.measures import GATEWAY, ReplicaReport
from whisperer.errors import UnavailableError

EVERY_S = 2.0


class Replicas:
    """The replicas' reports; ``report`` makes this replica's."""

    def __init__(self, directory: DirectoryCalls, report: Callable[[], ReplicaReport]) -> None:
        self._directory = directory
        self._report = report
        self.n = 1
        """How many gateways reported lately."""

    async def reports(self) -> list[ReplicaReport]:
        """Return the reports of all replicas that reported lately, or only this one's while the directory is away."""
        own = self._report()
        try:
            found = read(await self._directory.exchange_reports(plain(own)), list[ReplicaReport])
        except UnavailableError:
            return [own]
        self.n = sum(report.kind == GATEWAY for report in found)
        return found

    async def tell_forever(self) -> None:
        while True:
            await self.reports()
            await asyncio.sleep(EVERY_S)
