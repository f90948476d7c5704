"""Defines the documents of the whole installation: its status, and the first part of what the home page shows.

Field order is the order of the JSON. Times are int ms UTC, sizes bytes.
"""

from __future__ import annotations

import msgspec

from actors.calls.learner_views import AnyLearnerStatus
from actors.calls.shard_status import AnyStatus, ShardStatus
from serve_apps.gateway.metrics.sums import encodable
from whisperer.shard.views.counts import CampaignCounts, SegmentCounts, TenantCounts, loop_counts


class TenantStatus(msgspec.Struct, kw_only=True):
    """One tenant's sums over all shards, over its campaigns, and over all replicas."""

    id: str
    users: int
    events_accepted: int
    events_duplicate: int
    events_unnamed: int
    names_retired: int
    messages_waiting: int
    dedup_ids: int
    dedup_evicted: int
    events_dropped: dict[str, int]
    traits_refused: dict[str, int]
    names: dict[str, int]
    segments: dict[str, SegmentCounts]
    campaigns: dict[str, CampaignCounts]
    bytes: dict[str, int]
    candidates: int
    sent: int
    unknown: int
    no_send: int
    pending: int
    conversions: int
    refused: dict[str, int]
    outcomes: dict[str, int]
    events_rejected: dict[str, int]
    notices: dict[str, int]

    @classmethod
    def of(
        cls, tenant: str, counts: TenantCounts, events_rejected: dict[str, int], notices: dict[str, int]
    ) -> TenantStatus:
        """Return the status of the tenant with this id."""
        loop = loop_counts(counts.campaigns.values())
        return cls(
            id=tenant,
            users=counts.users,
            events_accepted=counts.events_accepted,
            events_duplicate=counts.events_duplicate,
            events_unnamed=counts.events_unnamed,
            names_retired=counts.names_retired,
            messages_waiting=counts.messages_waiting,
            dedup_ids=counts.dedup_ids,
            dedup_evicted=counts.dedup_evicted,
            events_dropped=counts.events_dropped,
            traits_refused=counts.traits_refused,
            names=counts.names,
            segments=counts.segments,
            campaigns={name: encodable(one) for name, one in counts.campaigns.items()},
            bytes=counts.bytes,
            candidates=loop.candidates,
            sent=loop.sent,
            unknown=loop.unknown,
            no_send=loop.no_send,
            pending=loop.pending,
            conversions=loop.conversions,
            refused=loop.refused,
            outcomes=loop.outcomes,
            events_rejected=events_rejected,
            notices=notices,
        )


class InstallationStatus(msgspec.Struct):
    """The document of `whisperer status --json`; ``tenants`` by name."""

    tenants: dict[str, TenantStatus]
    rejected_without_tenant: dict[str, int]
    shards: list[AnyStatus]
    learner: AnyLearnerStatus
    map_version: int
    n_moved: int


class TenantView(msgspec.Struct):
    name: str
    users: int
    events_accepted: int


class SegmentView(msgspec.Struct):
    """``backfill``: share done; None once membership is complete."""

    tenant: str
    name: str
    description: str
    members: int
    backfill: float | None

    @classmethod
    def of(cls, tenant: str, name: str, description: str, counts: SegmentCounts) -> SegmentView:
        """Return the view of a segment with its sums over all shards."""
        is_done = counts.done >= counts.total
        return cls(tenant, name, description, counts.members, None if is_done else counts.done / counts.total)


class ShardView(msgspec.Struct):
    """A shard. One that cannot be reached keeps its row: unknown values are None, and ``state`` says why."""

    name: str
    pid: int | None
    epoch: int | None
    sequence: int | None
    users: int | None
    rss_bytes: int | None
    state: str
    partitions: int | None
    journal_bytes: int | None

    @classmethod
    def of(cls, found: AnyStatus) -> ShardView:
        """Return the view of a shard."""
        if not isinstance(found, ShardStatus):
            return cls(found.name, None, None, None, None, None, found.state, None, None)
        return cls(
            found.name,
            found.pid,
            found.epoch,
            found.sequence,
            found.users,
            found.rss_bytes,
            found.state,
            found.partitions,
            found.journal_bytes,
        )


class EventView(msgspec.Struct):
    """An event that just arrived; ``user``: user key, `u:…` or `a:…`."""

    tenant: str
    type: str
    name: str
    user: str
    timestamp: int
    received_at: int


class DemoView(msgspec.Struct):
    tenant: str
    write_key: str


class Running(msgspec.Struct, kw_only=True):
    """What runs, and what comes in; ``latest``: newest first."""

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
    latest: list[EventView]
    demo: DemoView | None
    dashboard_url: str | None
    warnings: list[str]
