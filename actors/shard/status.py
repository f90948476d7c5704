"""Collect a shard's numbers for people, pages and tests."""

from __future__ import annotations

from collections.abc import Callable

from actors.calls.shard_status import CommitHistograms, CommitState
from actors.shard.commit import Committer
from whisperer.evaluation.lift import GroupTally
from whisperer.ids import TenantId
from whisperer.shard.accounts import Account
from whisperer.shard.machine import Shard
from whisperer.shard.state.tenant import REFUSED_TRAITS, Tenant
from whisperer.shard.views.counts import ArmCounts, CampaignCounts, SegmentCounts, TenantCounts
from whisperer.shard.views.decision import LatestDecision

_DROPPED = "dropped."


def commit(committer: Committer) -> CommitState:
    """Return the committer's counts, waits and histograms."""
    counts = committer.counts
    return CommitState(
        groups=counts.n_groups,
        records=counts.n_records,
        bytes=counts.n_bytes,
        sync_s=round(counts.sync_s, 3),
        apply_s=round(counts.apply_s, 3),
        step_s=dict(committer.steps.seconds),
        waiting=committer.n_waiting,
        oldest_waiting_s=round(committer.oldest_waiting_s, 4),
        histograms=CommitHistograms(
            sync=counts.sync.state(),
            wait=counts.wait.state(),
            group_records=counts.group_records.state(),
            group_bytes=counts.group_bytes.state(),
        ),
    )


def n_events(shard: Shard) -> int:
    """Return how many events the shard has counted."""
    return sum(int(tenant.sequence.sum()) for tenant in shard.tenants.values())


def n_partitions(shard: Shard) -> int:
    """Return how many partitions have counted an event."""
    return sum(int((tenant.sequence > 0).sum()) for tenant in shard.tenants.values())


def tenants(shard: Shard, latest: Callable[[TenantId], list[LatestDecision]]) -> dict[TenantId, TenantCounts]:
    """Return the counts of each tenant; ``latest`` returns a tenant's newest decisions."""
    return {tenant.id: _tenant(shard, tenant, latest(tenant.id)) for tenant in shard.tenants.values()}


def _tenant(shard: Shard, tenant: Tenant, latest: list[LatestDecision]) -> TenantCounts:
    people, counters = tenant.people, tenant.counters
    return TenantCounts(
        users=tenant.n_users(),
        events_accepted=counters["events_accepted"],
        events_duplicate=counters["events_duplicate"],
        events_dropped=_by_reason(tenant, _DROPPED),
        events_unnamed=counters["events_unnamed"],
        names_retired=counters["names_retired"],
        names={"event": len(people.names), "zone": len(people.zones), "locale": len(people.locales)},
        dedup_ids=shard.dedup.n_of(tenant.id),
        dedup_evicted=shard.dedup.evicted[tenant.id],
        traits_refused=_by_reason(tenant, REFUSED_TRAITS),
        messages_waiting=len(tenant.letters),
        config_version=tenant.config_version,
        campaigns={name: _campaign(tenant, name, account) for name, account in tenant.loop.accounts.items()},
        segments={
            name: SegmentCounts(
                tenant.segments.members(people, name), live.config.version, live.backfilled, live.backfill_end
            )
            for name, live in tenant.segments.live.items()
        },
        bytes={
            "columns": people.table.nbytes,
            "history": people.history.nbytes,
            "timeline": people.timeline.nbytes,
            "traits": people.traits_bytes,
        },
        latest_decisions=latest,
    )


def _by_reason(tenant: Tenant, prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in tenant.counters.items() if name.startswith(prefix)}


def _campaign(tenant: Tenant, name: str, account: Account) -> CampaignCounts:
    live = tenant.loop.campaigns.by_name.get(name)
    return CampaignCounts(
        candidates=account.candidates,
        sent=account.sent,
        unknown=account.unknown,
        no_send=account.no_send,
        pending=account.pending,
        conversions=account.conversions,
        refused=dict(account.refused),
        outcomes=dict(account.outcomes),
        version=live.config.version if live else None,
        status=live.config.status if live else None,
        conflicted=account.conflicted,
        groups={
            group: GroupTally(g.users, g.total_milli, g.squares_milli2, g.absolute_milli)
            for group, g in account.groups.items()
        },
        arms=[
            ArmCounts(group, arm, counted.decisions, counted.sent, counted.converted, counted.reward_micros)
            for (group, arm), counted in account.arms.items()
        ],
    )
