"""Measures what this gateway replica did since it started, except what it refused (:mod:`.counts`).

Observed once per request or call, never per event. :meth:`Measures.report` is left with the directory actor, so that
any replica asked for the metrics can report for all.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import psutil

from actors.jobs import JobsCount
from actors.telemetry.measures import BYTES, COUNTS, Histogram, HistogramState
from serve_apps.gateway.metrics.counts import ReplicaCounts

Level = Callable[[], float]

GATEWAY, CONTENT = "gateway", "content"


class ReplicaReport(msgspec.Struct, kw_only=True):
    """Report what one replica did since it started.

    Attributes
    ----------
    requests : (route, method, status, number)
    request_seconds : by route
    levels : what waits and what is held, by name
    jobs : by lane
    calls : to shards, (method, result, number)
    call_seconds : by method
    rejected, notices : by tenant id and label
    deprecated : calls of routes that are to go, (route, tenant id, number)
    callbacks : what became of providers' callbacks and of the events in them, (provider, fate, number)
    kind : "gateway", or "content" for a replica of the content application, which reports nothing but ``generation``
    generation : what became of questions to models, and what they used, (tenant id, what, number)
    """

    replica: str
    pid: int
    started_at: float
    rss_bytes: int
    requests: list[tuple[str, str, int, int]]
    request_seconds: dict[str, HistogramState]
    body_bytes: HistogramState
    in_flight: int
    levels: dict[str, float]
    jobs: dict[str, JobsCount]
    call_events: HistogramState
    calls: list[tuple[str, str, int]]
    call_seconds: dict[str, HistogramState]
    rejected: dict[str, dict[str, int]]
    notices: dict[str, dict[str, int]]
    deprecated: list[tuple[str, str, int]] = []
    callbacks: list[tuple[str, str, int]] = []
    kind: str = GATEWAY
    generation: list[tuple[str, str, int]] = []


class Measures:
    """The measures of one replica. Use from one event loop. ``levels`` (what waits, what is held) are read for each
    report."""

    def __init__(self, counts: ReplicaCounts, replica: str = "", kind: str = GATEWAY) -> None:
        self.replica = replica
        self.kind = kind
        self.generation: Mapping[tuple[str, str], int] = {}
        """What became of questions to models, by (tenant id, what); whoever asks them counts."""
        self.levels: dict[str, Level] = {}
        self.jobs: Callable[[], dict[str, JobsCount]] = dict
        """By lane."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By (route, method, status)."""
        self.request_seconds: dict[str, Histogram] = {}
        self.body_bytes = Histogram(BYTES)
        self.n_in_flight = 0
        self.call_events = Histogram(COUNTS)
        """Events carried by one call to a shard."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """Calls to shards by (method, result)."""
        self.call_seconds: dict[str, Histogram] = {}
        self.deprecated: Counter[tuple[str, str]] = Counter()
        """Calls of routes that are to go, by (route, tenant id)."""
        self.callbacks: Counter[tuple[str, str]] = Counter()
        """Callbacks and their events, by (provider, fate)."""
        self._counts = counts
        self._started_at = time.time()
        self._process = psutil.Process()

    def answered(self, route: str, method: str, status: int, seconds: float, n_bytes: int) -> None:
        """Record an answered request; ``route`` and ``method`` come from small sets."""
        self.requests[route, method, status] += 1
        histogram = self.request_seconds.get(route)
        if histogram is None:
            histogram = self.request_seconds[route] = Histogram()
        histogram.observe(seconds)
        if n_bytes:
            self.body_bytes.observe(n_bytes)

    def called_deprecated(self, route: str, tenant_id: str) -> None:
        """Record a call of a route that is to go; there are few such routes, and a tenant is one that exists."""
        self.deprecated[route, tenant_id] += 1

    def heard(self, provider: str, fate: str, number: int) -> None:
        """Record what became of callbacks or their events; both names come from small sets."""
        if number:
            self.callbacks[provider, fate] += number

    def called(self, method: str, result: str, seconds: float) -> None:
        """Record a call to a shard."""
        self.calls[method, result] += 1
        histogram = self.call_seconds.get(method)
        if histogram is None:
            histogram = self.call_seconds[method] = Histogram()
        histogram.observe(seconds)

    def report(self) -> ReplicaReport:
        """Return a copy of everything."""
        return ReplicaReport(
            replica=self.replica,
            pid=os.getpid(),
            started_at=self._started_at,
            rss_bytes=self._process.memory_info().rss,
            requests=[(*key, n) for key, n in self.requests.items()],
            request_seconds=_states(self.request_seconds),
            body_bytes=self.body_bytes.state(),
            in_flight=self.n_in_flight,
            levels={name: level() for name, level in self.levels.items()},
            jobs=self.jobs(),
            call_events=self.call_events.state(),
            calls=[(*key, n) for key, n in self.calls.items()],
            call_seconds=_states(self.call_seconds),
            rejected={tenant: dict(codes) for tenant, codes in self._counts.rejected.items()},
            notices={tenant: dict(notices) for tenant, notices in self._counts.notices.items()},
            deprecated=[(*key, n) for key, n in self.deprecated.items()],
            callbacks=[(*key, n) for key, n in self.callbacks.items()],
            kind=self.kind,
            generation=[(*key, n) for key, n in self.generation.items()],
        )


def _states(histograms: Mapping[str, Histogram]) -> dict[str, HistogramState]:
    return {name: histogram.state() for name, histogram in histograms.items()}
