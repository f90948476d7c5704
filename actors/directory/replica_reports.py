"""Keep the newest report of each replica of an application, so that any of the gateway's can report on all.

A request for the metrics reaches one replica, which needs what the others counted. The directory actor keeps the
reports, only in memory: a report is renewed every few seconds, and one that is not belongs to a replica that is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from actors.calls.plain import Plain

FORGET_AFTER_S = 15.0
MAX_REPLICAS = 256

Report = Plain


class ReplicaReports:
    """Keep reports. Each has ``replica``, its id; the rest is the replicas' own affair."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest: dict[str, tuple[float, Report]] = {}

    def exchange(self, report: Report) -> list[Report]:
        """Keep this report, and return everybody's, including this one."""
        self._newest.pop(report["replica"], None)
        self._newest[report["replica"]] = (self._clock(), report)
        return self.newest()

    def newest(self) -> list[Report]:
        """Return everybody's, without those of replicas that are gone."""
        now = self._clock()
        for replica, (at, _) in list(self._newest.items()):  # oldest first
            if now - at <= FORGET_AFTER_S and len(self._newest) <= MAX_REPLICAS:
                break
            del self._newest[replica]
        return [kept for _, kept in self._newest.values()]
