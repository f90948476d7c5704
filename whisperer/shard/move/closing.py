"""Close a shard for good: it takes no new partitions, and in the end another shard takes over its sums.

A closed shard keeps what it holds until that is moved away. A partition that held nothing here at the close is no
longer at home here: a caller with an older map is refused, and no event ends up where nobody would look for it.
"""

from __future__ import annotations

import numpy as np

from whisperer.ids import Partition
from whisperer.shard import accounts
from whisperer.shard.records import CountsJoined
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Tenant


def close(shard: ShardState) -> None:
    """Close a shard: remember which partitions it holds now. Closing again changes nothing."""
    if shard.kept is None:
        shard.kept = {tenant.id: held(tenant) for tenant in shard.tenants.values()}


def held(tenant: Tenant) -> set[Partition]:
    """Return the partitions of which anything is here: users, events, letters, aliases, erasures, wishes."""
    people = tenant.people
    found: set[Partition] = set(np.unique(people.table["partition"][: people.table.n]).tolist())
    found.update(map(Partition, np.flatnonzero(tenant.sequence + tenant.sent).tolist()))
    found.update(target for target, _ in tenant.cursors)
    found.update(partition for partition, _ in tenant.tombstones.values())
    found.update(partition for partition, _ in tenant.loop.wishes.values())
    return found


def counts(shard: ShardState) -> list[CountsJoined]:
    """Return the sums of a shard that holds nothing else any more, a record per tenant."""
    return [
        CountsJoined(
            shard.id,
            tenant.id,
            [accounts.store(name, account) for name, account in tenant.loop.accounts.items()],
            dict(tenant.counters),
        )
        for tenant in shard.tenants.values()
    ]


def join_counts(shard: ShardState, body: CountsJoined) -> None:
    """Add a removed shard's sums; repeating it changes nothing."""
    if (body.origin, body.tenant) in shard.counted:
        return
    shard.counted.add((body.origin, body.tenant))
    tenant = shard.tenant(body.tenant)
    tenant.counters.update(body.counters)
    for stored in body.accounts:
        tenant.loop.account(stored.campaign).add(accounts.restore(stored))
