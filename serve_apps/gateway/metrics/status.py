"""Collects the numbers of the whole installation: shards are asked at most once a second, however many callers look.

Accepted, duplicate and users are the shards' exact counts; rejected events are the replicas', each since it started.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from actors.calls.learner import LearnerCalls
from actors.calls.partition_map import shard_name
from actors.calls.shards import ShardCalls
from cluster.control_plane import ControlPlane, Published
from cluster.demo.access import DemoAccess
from serve_apps.gateway.metrics.counts import NOBODY, ReplicaCounts
from serve_apps.gateway.metrics.measures import Measures
from serve_apps.gateway.metrics.replicas import Replicas
from serve_apps.gateway.metrics.sums import by_tenant, encodable, loop_counts, no_counts
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId
from whisperer.profiles.names import MAX_NAMES, SHORT
from whisperer.segments import describe, parse_json

FRESH_S = 0.9
RATE_WINDOW_S = 5.0
SAMPLE_EVERY_S = 2.0
STATUS_TIMEOUT_S = 3.0


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
        self._statuses: list[dict[str, Any]] = []
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

    async def shards(self, fresh: bool = False) -> list[dict[str, Any]]:
        """Return every shard's status; one that does not answer has only name and state.

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
                total = sum(s.get("sequence") or 0 for s in self._statuses)
                if all(s["state"] == "serving" for s in self._statuses):
                    self._totals.append((self._asked_at, total))
                while self._totals and self._totals[0][0] < self._asked_at - RATE_WINDOW_S:
                    self._totals.popleft()
        return self._statuses

    async def sample_forever(self) -> None:
        """Keep the rate current, so that the first look at the page shows it."""
        while True:
            await self.shards()
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _ask(self, shard: int) -> dict[str, Any]:
        try:
            status: dict[str, Any] = await self._shards.call(shard, "status", timeout_s=STATUS_TIMEOUT_S)
            return status
        except UnavailableError as error:
            return {"name": shard_name(shard), "state": "recovering", "reason": error.message, "tenants": {}}

    async def unready(self) -> list[str]:
        """Return why requests cannot be served now; empty when they can."""
        if self._shards.places.current.version == 0:
            return ["the directory has not answered yet"]
        return [f"{s['name']} is {s['state']}" for s in await self.shards() if s["state"] != "serving"]

    async def budgets(self, tenant: TenantId, campaign: str) -> list[dict[str, Any]]:
        """Return a campaign's budget by window; empty while the learner is away."""
        try:
            return await self._learner.budgets(tenant, campaign)
        except UnavailableError:
            return []

    async def reports(self) -> list[dict[str, Any]]:
        """Return each gateway replica's report on itself."""
        return [Measures(self._counts).report()] if self._replicas is None else await self._replicas.reports()

    async def status(self, reports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Return the document of `whisperer status --json`. Tenants and counts are current."""
        await self.reload()
        reports = await self.reports() if reports is None else reports
        rejected, notices = (_by_tenant(reports, key) for key in ("rejected", "notices"))
        statuses = await self.shards(fresh=True)
        summed = by_tenant(statuses)
        tenants = {}
        for tenant_id, name in self.tenants.items():
            counted = summed.get(tenant_id, no_counts())
            tenants[name] = {
                "id": tenant_id,
                **counted,
                **loop_counts(counted["campaigns"]),
                "campaigns": encodable(counted["campaigns"]),
                "events_rejected": dict(rejected.get(tenant_id, {})),
                "notices": dict(notices.get(tenant_id, {})),
            }
        return {
            "tenants": tenants,
            "rejected_without_tenant": dict(rejected.get(NOBODY, {})),
            "shards": statuses,
            "learner": await self._learner.status(),
            "map_version": self._shards.places.current.version,
            "n_moved": len(self._shards.places.current.moves),
        }

    async def live(self, demo: DemoAccess | None, dashboard_url: str | None) -> dict[str, Any]:
        """Return the document behind the home page."""
        statuses = await self.shards()
        summed = by_tenant(statuses)
        rejected: Counter[str] = sum(self._counts.rejected.values(), Counter())
        return {
            "version": version("user-whisperer"),
            "now": time.time_ns() // 1_000_000,
            "started_at": self._started_at,
            "events_per_s": self._events_per_s(),
            "events_accepted": sum(t["events_accepted"] for t in summed.values()),
            "events_duplicate": sum(t["events_duplicate"] for t in summed.values()),
            "events_rejected": dict(rejected),
            "users": sum(t["users"] for t in summed.values()),
            "tenants": [
                {"name": name, **{k: summed.get(i, no_counts())[k] for k in ("users", "events_accepted")}}
                for i, name in self.tenants.items()
            ],
            "segments": [
                {
                    "tenant": self.tenants[tenant],
                    "name": segment.name,
                    "description": _described(json.dumps(segment.predicate, sort_keys=True)),
                    **_progress(summed.get(tenant, no_counts())["segments"].get(segment.name)),
                }
                for tenant, published in self.published.items()
                for segment in published.segments
            ],
            "shards": [
                {
                    key: s.get(key)
                    for key in (
                        "name", "pid", "epoch", "sequence", "users",
                        "rss_bytes", "state", "partitions", "journal_bytes",
                    )
                }
                for s in statuses
            ],
            "latest": [
                {**event, "tenant": self.tenants.get(event["tenant"], event["tenant"])}
                for event in self._counts.latest
            ],
            "demo": None if demo is None else {"tenant": demo.tenant, "write_key": demo.write_key},
            "dashboard_url": dashboard_url,
            "warnings": warnings_of(statuses, self.tenants),
        }  # fmt: skip

    async def by_tenant(self, tenant: TenantId) -> dict[str, Any]:
        """Return one tenant's current sums over all shards."""
        return by_tenant(await self.shards(fresh=True)).get(tenant, no_counts())

    def _events_per_s(self) -> float:
        if len(self._totals) < 2:
            return 0.0
        (start, before), (end, after) = self._totals[0], self._totals[-1]
        return max(0.0, (after - before) / (end - start))


def _by_tenant(reports: list[dict[str, Any]], key: str) -> dict[str, Counter[str]]:
    """Add up replicas' counts by tenant and label."""
    found: dict[str, Counter[str]] = {}
    for report in reports:
        for tenant, by_label in report[key].items():
            found.setdefault(tenant, Counter()).update(by_label)
    return found


@lru_cache(maxsize=4_096)
def _described(predicate: str) -> str:
    """Describe a predicate in words; cached, because the home page asks every second."""
    return describe(parse_json(predicate))


def _progress(segment: dict[str, Any] | None) -> dict[str, Any]:
    if segment is None:
        return {"members": 0, "backfill": None}
    done = segment["done"] >= segment["total"]
    return {"members": segment["members"], "backfill": None if done else segment["done"] / segment["total"]}


def warnings_of(statuses: list[dict[str, Any]], tenants: Mapping[TenantId, str]) -> list[str]:
    """Return what an operator should look at; ``tenants`` are names by id."""
    found = [f"{s['name']} is {s['state']}" for s in statuses if s["state"] != "serving"]
    evicted = sum(s.get("dedup_evicted", 0) for s in statuses)
    if evicted:
        whose: Counter[str] = Counter()
        for status in statuses:
            for tenant, counted in status.get("tenants", {}).items():
                whose[tenants.get(tenant, tenant)] += counted.get("dedup_evicted", 0)
        most = ", ".join(f"{n} of {name}" for name, n in whose.most_common(3) if n)
        found.append(
            f"{evicted} message ids were forgotten before 24 h{f' ({most})' if most else ''}: a repeat older than that "
            "counts again; raise dedup.max_ids"
        )
    for tenant, counts in by_tenant(statuses).items():
        n_names = counts["names"].get("event", 0)
        if n_names > MAX_NAMES * (1 - SHORT):
            found.append(
                f"{tenants.get(tenant, tenant)} sent {n_names} different event names, of {MAX_NAMES} that a shard "
                f"tells apart: the least used are let go, {counts['events_unnamed']} events counted as (other); "
                "names should be few, what varies belongs into properties"
            )
    return found
