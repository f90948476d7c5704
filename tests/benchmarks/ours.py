"""What the product does with a load: counted on both sides, priced by process. For benchmarks of ingestion.

Three segments are published and stay on; so do dedup, features and the journal: what is measured is what users get.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.benchmarks import processes
from tests.benchmarks.generator import Load
from tests.benchmarks.load import http_request
from tests.benchmarks.prebuilt import Requests
from tests.support.stand import Stand, Tenant
from training.simulator import load_batches

BATCH = 500
SEGMENTS: tuple[dict[str, Any], ...] = (
    {"event": "Report Exported", "op": "gte", "count": 3, "days": 7},
    {"all": [{"trait": "plan", "op": "eq", "value": "team"}, {"feature": "events_30d", "op": "gte", "value": 5}]},
    {"seen": "not_within", "days": 14},
)
_COMMIT = ("groups", "records", "bytes", "sync_s", "apply_s")
_seeds = count(int(datetime.now(UTC).timestamp()) % 1_000_000 * 100)


def publish_segments(tenant: Tenant, n: int = len(SEGMENTS)) -> None:
    for number in range(n):
        body = {"predicate": SEGMENTS[number % len(SEGMENTS)]}
        tenant.api.put(f"/v1/segments/s{number}", json=body).raise_for_status()


def authorization(tenant: Tenant) -> str:
    return "Basic " + base64.b64encode(f"{tenant.write_key}:".encode()).decode()


def bodies(n_events: int, n_users: int, batch: int = BATCH) -> Iterator[bytes]:
    """Segment batches with messageIds of their own and times of the last hours, so that every window counts them."""
    start = datetime.now(UTC) - timedelta(hours=6)
    return load_batches(next(_seeds), n_events, batch, n_users=n_users, start=start)


def batches(path: Path, key: str, n_events: int, n_users: int, route: str = "/v1/batch") -> Requests:
    return Requests.write(path, (http_request(route, body, key) for body in bodies(n_events, n_users)))


def singles(path: Path, key: str, n_events: int, n_users: int, route: str = "/v1/batch") -> Requests:
    """The same events, one a request."""
    return Requests.write(path, (http_request(route, body, key) for body in bodies(n_events, n_users, 1)))


@dataclass(frozen=True, slots=True)
class Run:
    """One load on an installation. ``counted`` events are more than ``acknowledged`` by requests that were under way
    when the time was over; fewer would be a loss."""

    load: Load
    batch: int
    counted: int
    repeats: int
    commit: dict[str, float]
    cpu_s: dict[str, float]
    rss: dict[str, int]

    @property
    def acknowledged(self) -> int:
        return self.load.acknowledged * self.batch

    @property
    def events_per_s(self) -> float:
        return self.load.per_s * self.batch

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an event of everything but the load generator."""
        return sum(self.cpu_s.values()) / max(1, self.counted) * 1e6

    @property
    def group_events(self) -> float:
        """Events that shared an fdatasync."""
        return self.counted / max(1, self.commit["groups"])

    def figures(self) -> dict[str, Any]:
        n = max(1, self.counted)
        return {
            "events_per_s": round(self.events_per_s),
            "requests_per_s": round(self.load.per_s, 1),
            **self.load.latency(),
            "seconds": round(self.load.seconds, 2),
            "acknowledged": self.acknowledged,
            "counted": self.counted,
            "repeats": self.repeats,
            "trouble": self.load.trouble(),
            "cpu_us_per_event": round(self.cpu_us, 2),
            "cpu_us_per_event_by_process": {kind: round(s / n * 1e6, 2) for kind, s in self.cpu_s.items()},
            "load_generator": self.load.generator,
            "load_generator_cpu_us_per_event": round(self.load.generator_cpu_s / n * 1e6, 2),
            "journal_bytes": round(self.commit["bytes"]),
            "fsyncs": round(self.commit["groups"]),
            "events_per_fsync": round(self.group_events, 1),
            "fsync_ms": round(self.commit["sync_s"] / max(1, self.commit["groups"]) * 1000, 2),
            "apply_us_per_event": round(self.commit["apply_s"] / n * 1e6, 2),
            "rss_mib": {kind: round(size / 2**20) for kind, size in self.rss.items()},
        }


def measured(stand: Stand, tenant: Tenant, batch: int, send: Callable[[], Load]) -> Run:
    """Send, and see what it came to. Raises AssertionError when something acknowledged is missing or counted twice."""
    before, cpu = stand.settled(), processes.cpu_seconds(stand)
    load = send()
    spent = processes.spent(cpu, processes.cpu_seconds(stand))
    after = stand.settled()
    counts = [
        {name: status["tenants"][tenant.name][name] for name in ("events_accepted", "events_duplicate")}
        if tenant.name in status["tenants"]
        else {"events_accepted": 0, "events_duplicate": 0}
        for status in (before, after)
    ]
    run = Run(
        load=load,
        batch=batch,
        counted=counts[1]["events_accepted"] - counts[0]["events_accepted"],
        repeats=counts[1]["events_duplicate"] - counts[0]["events_duplicate"],
        commit={
            name: sum(s["commit"][name] for s in after["shards"]) - sum(s["commit"][name] for s in before["shards"])
            for name in _COMMIT
        },
        cpu_s=spent,
        rss=processes.resident_bytes(stand),
    )
    sent = load.taken * batch
    assert run.acknowledged <= run.counted <= sent, (
        f"{run.acknowledged} acknowledged, {run.counted} counted, {sent} sent"
    )
    return run


def memory(stand: Stand, tenant: Tenant) -> dict[str, Any]:
    """Bytes a user by what they hold, and a remembered messageId."""
    status = stand.settled()
    mine, shards = status["tenants"][tenant.name], status["shards"]
    ids = max(1, sum(s["dedup_ids"] for s in shards))
    return {
        "users": mine["users"],
        "bytes_a_user": {name: round(size / max(1, mine["users"])) for name, size in mine["bytes"].items()},
        "dedup_bytes_an_id": round(sum(s["dedup_bytes"] for s in shards) / ids, 1),
        "shard_rss_mib": [round(s["rss_bytes"] / 2**20) for s in shards],
    }
