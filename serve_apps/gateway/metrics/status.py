"""Collects the numbers of the whole installation: shards are asked at most once a second, however many callers look.

Accepted, duplicate and users are the shards' exact counts; rejected events are the replicas', each since it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TypeVar

import msgspec

from actors.calls.learner import LearnerCalls
from actors.calls.partition_map import shard_name
from actors.calls.shard_status import SERVING, AnyStatus, ShardAway, ShardStatus
from actors.calls.shards import ShardCalls
from cluster.control_plane import ControlPlane, Published
from cluster.demo.access import DemoAccess
from serve_apps.gateway.metrics.counts import NOBODY, ReplicaCounts
from serve_apps.gateway.metrics.documents import (
    DemoView,
    InstallationStatus,
    Running,
    SegmentView,
    ShardView,
    TenantStatus,
    TenantView,
)
from serve_apps.gateway.metrics.measures import Measures, ReplicaReport
from serve_apps.gateway.metrics.replicas import Replicas
from serve_apps.gateway.metrics.sums import by_tenant
from whisperer.decisions.allotment import BudgetWindow
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId
from whisperer.profiles.names import MAX_NAMES, SHORT
from whisperer.segments import describe, parse_json
from whisperer.shard.views.counts import SegmentCounts, TenantCounts

FRESH_S = 0.9
RATE_WINDOW_S = 5.0
SAMPLE_EVERY_S = 2.0
STATUS_TIMEOUT_S = 3.0
DATABASE_AWAY = "the control plane's database does not answer: what is published stays in force, changes are refused"

Found = TypeVar("Found")


class Overview:
    """The status documents of the installation."""

    def __init__(
        self,
        shards: ShardCalls,
        learner: LearnerCalls,
        plane: ControlPlane,
        counts: ReplicaCounts,
        replicas: Replicas | None = None,
    ) -> None:
        self._replicas = replicas
        self._shards = shards
        self._learner = learner
        self._plane = plane
        self._counts = counts
        self._asked_at = float("-inf")
        self._began_at = float("-inf")
        self._statuses: list[AnyStatus] = []
        self._asking = asyncio.Lock()
        self._read_version = -1
        self._reading = asyncio.Lock()
        self._totals: deque[tuple[float, int]] = deque()
        self._started_at = time.time_ns() // 1_000_000
        self.tenants: dict[TenantId, str] = {}
        """id -> name"""
        self.published: dict[TenantId, Published] = {}
        """id -> what its shards run on"""

    async def reload(self) -> dict[TenantId, Published]:
        """Return what each tenant has published, by tenant id; rereads only the tenants that the control plane
        names."""
        async with self._reading:
            changes = await asyncio.to_thread(self._plane.changes_since, self._read_version)
            if changes.everything:
                self.tenants, self.published = await asyncio.to_thread(self._read)
            elif changes.tenants:
                names, published = await asyncio.to_thread(self._read, changes.tenants)
                self.tenants = self.tenants | names
                self.published = self.published | published
            self._read_version = changes.version  # of before the rows, which may then be newer
            return self.published

    def _read(self, only: Collection[TenantId] | None = None) -> tuple[dict[TenantId, str], dict[TenantId, Published]]:
        read = self._plane.list_tenants() if only is None else map(self._plane.get_tenant, only)
        tenants = {tenant.id: tenant.name for tenant in read}
        return tenants, {tenant: self._plane.published(tenant) for tenant in tenants}

    async def read(
        self, tenant: TenantId, ask: Callable[[], Found], published: Callable[[Published], Found | None]
    ) -> Found:
        """Return what ``ask`` reads in the control plane; while that is away, what was published when it last answered.

        Raises UnavailableError where that is not known, and what ``ask`` raises.
        """
        try:
            return await asyncio.to_thread(ask)
        except UnavailableError:
            known = self.published.get(tenant)
            found = None if known is None else published(known)
            if found is None:
                raise
            return found

    async def shards(self, fresh: bool = False) -> list[AnyStatus]:
        """Return every shard's status.

        ``fresh``: of this moment. Callers who arrive while the shards are being asked share the answers of the next
        round.
        """
        came_at = time.monotonic()
        async with self._asking:
            if self._began_at <= came_at if fresh else time.monotonic() - self._asked_at > FRESH_S:
                shards = self._shards.places.current.shards
                self._began_at = time.monotonic()
                self._statuses = list(await asyncio.gather(*(self._ask(shard) for shard in shards)))
                self._asked_at = time.monotonic()
                total = sum(status.sequence for status in self._statuses if isinstance(status, ShardStatus))
                if all(status.state == SERVING for status in self._statuses):
                    self._totals.append((self._asked_at, total))
                while self._totals and self._totals[0][0] < self._asked_at - RATE_WINDOW_S:
                    self._totals.popleft()
        return self._statuses

    async def sample_forever(self) -> None:
        """Keep the rate current, so that the first look at the page shows it."""
        while True:
            await self.shards()
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _ask(self, shard: int) -> AnyStatus:
        try:
            return await self._shards.status(shard, timeout_s=STATUS_TIMEOUT_S)
        except UnavailableError as error:
            return ShardAway(shard_name(shard), "recovering", error.message)

    async def unready(self) -> list[str]:
        """Return why requests cannot be served now; empty when they can."""
        if self._shards.places.current.version == 0:
            return ["the directory has not answered yet"]
        return _not_serving(await self.shards())

    async def budgets(self, tenant: TenantId, campaign: str) -> list[BudgetWindow]:
        """Return a campaign's budget by window; empty while the learner is away."""
        try:
            return await self._learner.budgets(tenant, campaign)
        except UnavailableError:
            return []

    async def reports(self) -> list[ReplicaReport]:
        """Return each gateway replica's report on itself."""
        return [Measures(self._counts).report()] if self._replicas is None else await self._replicas.reports()

    async def status(self, reports: Sequence[ReplicaReport] | None = None) -> InstallationStatus:
        """Return the document of `whisperer status --json`.

        Counts are current; tenants are those of when the control plane last answered.
        """
        with contextlib.suppress(UnavailableError):
            await self.reload()
        reports = await self.reports() if reports is None else reports
        rejected = _added(reports, lambda report: report.rejected)
        notices = _added(reports, lambda report: report.notices)
        statuses = await self.shards(fresh=True)
        summed = by_tenant(statuses)
        tenants = {
            name: TenantStatus.of(
                tenant,
                summed.get(tenant, TenantCounts()),
                dict(rejected.get(tenant, {})),
                dict(notices.get(tenant, {})),
            )
            for tenant, name in self.tenants.items()
        }
        return InstallationStatus(
            tenants,
            dict(rejected.get(NOBODY, {})),
            statuses,
            await self._learner.status(),
            self._shards.places.current.version,
            len(self._shards.places.current.moves),
        )

    async def running(self, demo: DemoAccess | None, dashboard_url: str | None) -> Running:
        """Return what runs, for the home page."""
        statuses = await self.shards()
        summed = by_tenant(statuses)
        rejected: Counter[str] = sum(self._counts.rejected.values(), Counter())
        counts = {tenant: summed.get(tenant, TenantCounts()) for tenant in self.tenants}
        return Running(
            version=version("user-whisperer"),
            now=time.time_ns() // 1_000_000,
            started_at=self._started_at,
            events_per_s=self._events_per_s(),
            events_accepted=sum(one.events_accepted for one in summed.values()),
            events_duplicate=sum(one.events_duplicate for one in summed.values()),
            events_rejected=dict(rejected),
            users=sum(one.users for one in summed.values()),
            tenants=[
                TenantView(name, counts[tenant].users, counts[tenant].events_accepted)
                for tenant, name in self.tenants.items()
            ],
            segments=[
                SegmentView.of(
                    self.tenants[tenant],
                    segment.name,
                    _described(json.dumps(segment.predicate, sort_keys=True)),
                    counts[tenant].segments.get(segment.name, SegmentCounts()),
                )
                for tenant, published in self.published.items()
                for segment in published.segments
            ],
            shards=[ShardView.of(status) for status in statuses],
            latest=[
                msgspec.structs.replace(event, tenant=self.tenants.get(TenantId(event.tenant), event.tenant))
                for event in self._counts.latest
            ],
            demo=None if demo is None else DemoView(demo.tenant, demo.write_key),
            dashboard_url=dashboard_url,
            warnings=warnings_of(statuses, self.tenants) + ([DATABASE_AWAY] if self._plane.is_away else []),
        )

    async def by_tenant(self, tenant: TenantId) -> TenantCounts:
        """Return one tenant's current sums over all shards."""
        return by_tenant(await self.shards(fresh=True)).get(tenant, TenantCounts())

    def _events_per_s(self) -> float:
        if len(self._totals) < 2:
            return 0.0
        (start, before), (end, after) = self._totals[0], self._totals[-1]
        return max(0.0, (after - before) / (end - start))


def _added(
    reports: Sequence[ReplicaReport], get: Callable[[ReplicaReport], Mapping[str, Mapping[str, int]]]
) -> dict[str, Counter[str]]:
    """Add up replicas' counts by tenant and label."""
    found: dict[str, Counter[str]] = {}
    for report in reports:
        for tenant, by_label in get(report).items():
            found.setdefault(tenant, Counter()).update(by_label)
    return found


def _not_serving(statuses: Sequence[AnyStatus]) -> list[str]:
    return [f"{status.name} is {status.state}" for status in statuses if status.state != SERVING]


@lru_cache(maxsize=4_096)
def _described(predicate: str) -> str:
    """Describe a predicate in words; cached, because the home page asks every second."""
    return describe(parse_json(predicate))


def warnings_of(statuses: Sequence[AnyStatus], tenants: Mapping[TenantId, str]) -> list[str]:
    """Return what an operator should look at; ``tenants`` are names by id."""
    found = _not_serving(statuses)
    summed = by_tenant(statuses)
    evicted = sum(status.dedup_evicted for status in statuses if isinstance(status, ShardStatus))
    if evicted:
        whose: Counter[str] = Counter()
        for tenant, counts in summed.items():
            whose[tenants.get(tenant, tenant)] += counts.dedup_evicted
        most = ", ".join(f"{n} of {name}" for name, n in whose.most_common(3) if n)
        found.append(
            f"{evicted} message ids were forgotten before 24 h{f' ({most})' if most else ''}: a repeat older than that "
            "counts again; raise dedup.max_ids"
        )
    for tenant, counts in summed.items():
        n_names = counts.names.get("event", 0)
        if n_names > MAX_NAMES * (1 - SHORT):
            found.append(
                f"{tenants.get(tenant, tenant)} sent {n_names} different event names, of {MAX_NAMES} that a shard "
                f"tells apart: the least used are let go, {counts.events_unnamed} events counted as (other); "
                "names should be few, what varies belongs into properties"
            )
    return found
