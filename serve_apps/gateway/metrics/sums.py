"""Sums tenants' counts over the shards' statuses. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec

from actors.calls.shard_status import AnyStatus
from whisperer.evaluation.lift import GroupTally
from whisperer.ids import TenantId
from whisperer.shard.views.counts import CampaignCounts, TenantCounts


def by_tenant(statuses: Iterable[AnyStatus]) -> dict[TenantId, TenantCounts]:
    """Return tenant id -> its sums, over the shards that answered."""
    found: dict[TenantId, TenantCounts] = {}
    for status in statuses:
        for tenant, counts in status.tenants.items():
            found[tenant] = found.get(tenant, TenantCounts()).plus(counts)
    return found


def encodable(counts: CampaignCounts) -> CampaignCounts:
    """Make a campaign's sums fit for JSON: one that exceeds 64 bits, which takes hostile revenues, loses digits."""
    if all(map(_fits, counts.groups.values())) and all(-(2**63) <= arm.reward_micros < 2**63 for arm in counts.arms):
        return counts
    groups = {
        group: tally if _fits(tally) else {name: _rounded(n) for name, n in dataclasses.asdict(tally).items()}
        for group, tally in counts.groups.items()
    }
    arms = [msgspec.structs.replace(arm, reward_micros=_rounded(arm.reward_micros)) for arm in counts.arms]
    return msgspec.structs.replace(counts, groups=groups, arms=arms)


def _fits(tally: GroupTally) -> bool:
    return all(-(2**63) <= n < 2**63 for n in dataclasses.astuple(tally))


def _rounded(n: int) -> float:
    return n if -(2**63) <= n < 2**63 else float(n)
