"""Collect a shard's numbers for people, pages and tests."""

from __future__ import annotations

from typing import Any

from actors.shard.commit import Committer
from whisperer.shard.accounts import Account
from whisperer.shard.machine import Shard
from whisperer.shard.state.tenant import COUNTED, REFUSED_TRAITS, Tenant


def commit(committer: Committer) -> dict[str, Any]:
    """Return the committer's counts, waits and histograms."""
    counts = committer.counts
    return {
        "groups": counts.n_groups,
        "records": counts.n_records,
        "bytes": counts.n_bytes,
        "sync_s": round(counts.sync_s, 3),
        "apply_s": round(counts.apply_s, 3),
        "step_s": dict(committer.steps.seconds),
        "waiting": committer.n_waiting,
        "oldest_waiting_s": round(committer.oldest_waiting_s, 4),
        "histograms": {
            "sync": counts.sync.state(),
            "wait": counts.wait.state(),
            "group_records": counts.group_records.state(),
            "group_bytes": counts.group_bytes.state(),
        },
    }


def shard(state: Shard) -> dict[str, Any]:
    """Return the numbers of a shard's state, in total and by tenant."""
    tenants = {tenant.id: _tenant(state, tenant) for tenant in state.tenants.values()}
    return {
        "sequence": sum(int(tenant.sequence.sum()) for tenant in state.tenants.values()),
        "partitions": sum(int((tenant.sequence > 0).sum()) for tenant in state.tenants.values()),
        "users": sum(tenant["users"] for tenant in tenants.values()),
        "dedup_ids": len(state.dedup),
        "dedup_bytes": state.dedup.nbytes,
        "dedup_evicted": state.dedup.n_evicted,
        "tenants": tenants,
    }


def _tenant(state: Shard, tenant: Tenant) -> dict[str, Any]:
    people, counters = tenant.people, tenant.counters
    return {
        "users": tenant.n_users(),
        **{name: counters[name] for name in COUNTED},
        "events_dropped": {
            name.removeprefix("dropped."): count for name, count in counters.items() if name.startswith("dropped.")
        },
        "names": {
            "event": len(people.names),
            "zone": len(people.zones),
            "locale": len(people.locales),
        },
        "dedup_ids": state.dedup.n_of(tenant.id),
        "dedup_evicted": state.dedup.evicted[tenant.id],
        "traits_refused": {
            name.removeprefix(REFUSED_TRAITS): n for name, n in counters.items() if name.startswith(REFUSED_TRAITS)
        },
        "messages_waiting": len(tenant.letters),
        "config_version": tenant.config_version,
        "campaigns": {name: _campaign(tenant, name, account) for name, account in tenant.loop.accounts.items()},
        "segments": {
            name: {
                "members": tenant.segments.members(people, name),
                "version": live.config.version,
                "done": live.backfilled,
                "total": live.backfill_end,
            }
            for name, live in tenant.segments.live.items()
        },
        "bytes": {
            "columns": people.table.nbytes,
            "history": people.history.nbytes,
            "timeline": people.timeline.nbytes,
            "traits": people.traits_bytes,
        },
    }


def _campaign(tenant: Tenant, name: str, account: Account) -> dict[str, Any]:
    live = tenant.loop.campaigns.by_name.get(name)
    return {
        "version": live.config.version if live else None,
        "status": live.config.status if live else None,
        "candidates": account.candidates,
        "sent": account.sent,
        "unknown": account.unknown,
        "no_send": account.no_send,
        "refused": dict(account.refused),
        "pending": account.pending,
        "conversions": account.conversions,
        "outcomes": dict(account.outcomes),
        "conflicted": account.conflicted,
        "groups": {
            group: {
                "users": g.users,
                "total_milli": g.total_milli,
                "squares_milli2": g.squares_milli2,
                "absolute_milli": g.absolute_milli,
            }
            for group, g in account.groups.items()
        },
        "arms": [
            {
                "group": group,
                "arm": arm,
                "decisions": counted.decisions,
                "sent": counted.sent,
                "converted": counted.converted,
                "reward_micros": counted.reward_micros,
            }
            for (group, arm), counted in account.arms.items()
        ],
    }
