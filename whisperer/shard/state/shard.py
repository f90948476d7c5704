"""Hold what a shard knows, below everything that changes it.

Guarantees: nothing here depends on a record. What a record does to the state is in the modules that
:mod:`whisperer.shard.machine` lists in its table; they take a :class:`ShardState` and return effects.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.ids import Partition, TenantId
from whisperer.shard.records import BARED_SINCE, BOUNDED_SINCE, CHAINED_SINCE, RECORD_VERSION, Letter
from whisperer.shard.state.dedup import Dedup
from whisperer.shard.state.log import Log, LogRow, forget
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.steps import Steps, Unmeasured

DEFAULT_MAX_IDS = 20_000_000

Place = tuple[TenantId, Partition]
"""A tenant's partition."""


class ShardState:
    """Hold the state of one shard actor. ``shard_id`` marks in which shard's journal a timeline entry's JSON is."""

    def __init__(self, shard_id: int, dedup_max_ids: int = DEFAULT_MAX_IDS) -> None:
        self.id = shard_id
        self.now = 0
        self.record_version = RECORD_VERSION
        """Version of the record being applied: what an older release wrote is applied as that release did."""
        self.position = -1
        """Journal position of the last record applied."""
        self.tenants: dict[TenantId, Tenant] = {}
        self.dedup = Dedup(dedup_max_ids)
        self.steps: Steps = Unmeasured()
        """Is notified as each step of applying passes; not part of the state."""
        self.absent: set[Place] = set()
        """Partitions that left and have not come back."""
        self.arriving: dict[Place, tuple[int, int]] = {}
        """Partitions that have arrived in part -> (map version of the move, number of parts here)."""
        self.kept: dict[TenantId, set[Partition]] | None = None
        """Once the shard is closed: the partitions that it held then; no others are at home here. None while open."""
        self.counted: set[tuple[int, TenantId]] = set()
        """(removed shard, tenant) whose sums were added to this shard's."""
        self.sweeping: set[Place] = set()
        """Partitions that left and that the new home has whole; their rows are being forgotten."""
        self.moved: dict[Place, int] = {}
        """Map version of each partition's last move, so that a move driven again changes nothing."""
        self.rows: list[LogRow] = []
        """Rows of the record being applied; empty between records."""
        self.log: Log = {}
        """Rows for the warehouse by journal position, until it has them."""
        self.repeats: dict[int, NDArray[np.bool_]] = {}
        """Journal position of a block with repeats -> which of its events counted, until the warehouse has them."""

    def tenant(self, tenant_id: TenantId) -> Tenant:
        """Return a tenant's state here, created if missing."""
        found = self.tenants.get(tenant_id)
        if found is None:
            found = self.tenants[tenant_id] = Tenant.new(tenant_id, self.rows)
            self._as_its_release(found)
        return found

    def read_as(self, version: int) -> None:
        """Apply what follows as the release did that wrote records of this version."""
        if version != self.record_version:
            self.record_version = version
            for tenant in self.tenants.values():
                self._as_its_release(tenant)

    def _as_its_release(self, tenant: Tenant) -> None:
        """Set a tenant's bounds and reading of addresses to those of the release that wrote the record."""
        tenant.people.keep_bounds(kept=self.is_bounded)
        tenant.loop.bares_addresses = self.record_version >= BARED_SINCE

    @property
    def is_bounded(self) -> bool:
        """Return whether the record being applied is of version 5 or later, from which on everything is bounded."""
        return self.record_version >= BOUNDED_SINCE

    @property
    def dedups_by_tenant(self) -> bool:
        """Return whether ids are kept per tenant: from version 5 on, no tenant's ids push out another's."""
        return self.is_bounded

    def is_at_home(self, tenant: TenantId, partition: Partition) -> bool:
        """Return whether a partition lives, or may begin to live, here: it did not leave, and no closing bars it."""
        return (tenant, partition) not in self.absent and self.is_open_to(tenant, partition)

    def is_open_to(self, tenant: TenantId, partition: Partition) -> bool:
        """Return whether closing lets a partition be at home here; whether it has left is not checked."""
        if self.kept is None:
            return True
        return partition in self.kept.get(tenant, ()) or (tenant, partition) in self.moved

    def takes(self, letter: Letter) -> bool:
        """Return whether a letter applies: not if journaled after its target left, as the new home must get it."""
        return self.record_version < CHAINED_SINCE or self.is_at_home(letter.tenant, letter.target)

    def letters(self) -> list[Letter]:
        """Return every letter not yet confirmed, in sending order per source."""
        return [letter for tenant in self.tenants.values() for letter in tenant.letters.values()]

    def forget_exported(self, before: int) -> None:
        """Forget what was kept for the warehouse before a journal position: the warehouse has it."""
        forget(self.log, before)
        for position in [p for p in self.repeats if p < before]:
            del self.repeats[position]
