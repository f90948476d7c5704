"""The shape of ``GET /internal/live``: what is running, as one document.

The home page renders it on the server for the first view and in the browser once a second after that. The gateway fills
it; this module only names its parts. Times are int ms UTC, sizes bytes, shares floats in [0, 1].
"""

from __future__ import annotations

from typing import TypedDict


class TenantView(TypedDict):
    name: str
    users: int
    events_accepted: int


class SegmentView(TypedDict):
    tenant: str
    name: str
    description: str
    members: int
    backfill: float | None  # share done; None once membership is complete


class ShardView(TypedDict):
    """A shard that cannot be reached keeps its row: what is unknown is None, and ``state`` says why."""

    name: str
    pid: int | None
    epoch: int | None
    sequence: int | None
    users: int | None
    rss_bytes: int | None
    state: str
    partitions: int | None
    journal_bytes: int | None


class EventView(TypedDict):
    tenant: str
    type: str
    name: str
    user: str  # user key: `u:…` or `a:…`
    timestamp: int
    received_at: int


class DemoView(TypedDict):
    tenant: str
    write_key: str


class LiveView(TypedDict):
    version: str
    now: int
    started_at: int
    events_per_s: float
    events_accepted: int
    events_duplicate: int
    events_rejected: dict[str, int]
    users: int
    tenants: list[TenantView]
    segments: list[SegmentView]
    shards: list[ShardView]
    latest: list[EventView]  # newest first
    demo: DemoView | None
    dashboard_url: str | None
    warnings: list[str]
