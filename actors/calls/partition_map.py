"""Map partitions to shards: a rule plus its exceptions, with a version.

A tenant's partition p starts at shard (seed + p) mod `base_shards`; every partition that was moved is listed. A shard
refuses callers with an older version than its own (:mod:`actors.calls.shards`).
"""

from __future__ import annotations

import msgspec

from whisperer.ids import N_PARTITIONS, Partition, TenantId, tenant_seed


def shard_name(shard: int) -> str:
    """Return the usual name of a shard's actor."""
    return f"shard-{shard}"


class PartitionMap(msgspec.Struct, frozen=True):
    """Where each partition lives.

    Attributes
    ----------
    moves : ``tenant/partition`` -> shard
    heirs : shard that takes no new partitions any more -> shard that takes those which the rule assigns to it
    draining : shards that are being emptied
    retired : shards whose actors were stopped
    names : shard -> name of its actor, where it is not the usual one (after an upgrade)
    """

    version: int
    base_shards: int
    n_shards: int
    moves: dict[str, int] = {}
    heirs: dict[int, int] = {}
    draining: list[int] = []
    retired: list[int] = []
    names: dict[int, str] = {}

    def shard_of(self, tenant: TenantId, partition: Partition) -> int:
        """Return the shard that a tenant's partition lives on."""
        moved = self.moves.get(f"{tenant}/{partition}") if self.moves else None
        if moved is not None:
            return moved
        shard = (tenant_seed(tenant) + partition) % self.base_shards
        while shard in self.heirs:
            shard = self.heirs[shard]
        return shard

    @property
    def shards(self) -> list[int]:
        """The shards that have an actor."""
        return [shard for shard in range(self.n_shards) if shard not in self.retired]

    def name_of(self, shard: int) -> str:
        """Return the name of a shard's actor."""
        return self.names.get(shard) or shard_name(shard)

    def table(self, tenant: TenantId) -> list[int]:
        """Return the shard of each of the tenant's partitions."""
        return [self.shard_of(tenant, Partition(p)) for p in range(N_PARTITIONS)]
