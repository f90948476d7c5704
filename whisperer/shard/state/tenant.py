"""Hold everything of one tenant in a shard: profiles, order, letters, identity, counters, segments, the loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whisperer.events.types import RESERVED_NAME
from whisperer.ids import N_PARTITIONS, Partition, TenantId, UserKey, message_hash, partition_of, tenant_seed
from whisperer.journeys.inbox import fitted
from whisperer.profiles.population import LIVE, Population
from whisperer.profiles.traits import Written
from whisperer.shard.records import Letter, LetterBody, ScoreModelChosen
from whisperer.shard.state.forest import Forest
from whisperer.shard.state.log import LogRow
from whisperer.shard.state.loop import Loop
from whisperer.shard.state.membership import LiveSegments
from whisperer.shard.state.watch import Watch

BUILT_IN = frozenset(RESERVED_NAME.values())

PartitionPair = tuple[Partition, Partition]
"""Two partitions of one tenant, one of which sends the other letters."""

COUNTED = ("events_accepted", "events_duplicate", "events_unnamed", "names_retired")
"""The counters of a tenant that its status shows by name, and the installation adds up."""

REFUSED_TRAITS = "refused_traits."
"""Prefix of the counters of traits that a profile had no room for."""


def chain_of(letters: Iterable[Letter]) -> dict[PartitionPair, int]:
    """Return the chain as far as unconfirmed letters show it, which is all that releases before version 5 kept."""
    return {(letter.source, letter.target): letter.sequence for letter in letters}


@dataclass(slots=True)
class Owner:
    """Name the user who owns an anonymous id; ``shared`` once another user was seen with it."""

    user: UserKey
    shared: bool = False


@dataclass(slots=True)
class Tenant:
    """Hold one tenant's state in one shard."""

    id: TenantId
    seed: int
    people: Population
    loop: Loop
    segments: LiveSegments = field(default_factory=LiveSegments)
    config_version: int = 0
    sequence: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_PARTITIONS, np.int64))
    """Events journaled so far, by partition."""
    sent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(N_PARTITIONS, np.int64))
    """Letters sent so far, by source partition."""
    chain: dict[PartitionPair, int] = field(default_factory=dict)
    """(source, target) -> sequence of the last letter sent: the next one's ``after``."""
    cursors: dict[PartitionPair, int] = field(default_factory=dict)
    """(target, source) -> sequence of the last letter applied."""
    letters: dict[tuple[Partition, int], Letter] = field(default_factory=dict)
    """(source, sequence) -> letter not yet confirmed, in order of sending."""
    owners: dict[UserKey, Owner] = field(default_factory=dict)
    """Anonymous key whose partition is here -> its owner."""
    forest: Forest = field(default_factory=Forest)
    """Accepted aliases of the whole tenant: held by partition ALIAS_ARBITER only."""
    tombstones: dict[bytes, tuple[Partition, int]] = field(default_factory=dict)
    """Hash of an erased key -> (its partition, ms UTC of the erasure)."""
    floors: dict[int, int] = field(default_factory=dict)
    """Row of a key that came back after an erasure -> ms UTC of the erasure; events up to then are dropped."""
    erasing: dict[UserKey, int] = field(default_factory=dict)
    """Erased key -> ms UTC of the erasure, until the warehouse is rewritten without it."""
    counters: Counter[str] = field(default_factory=Counter)
    """events_accepted, events_duplicate, events_unnamed, names_retired, dropped.<reason>, and
    refused_traits.<reason>."""
    score_model: ScoreModelChosen | None = None
    """The model that sweeps use; None for the formula."""
    scored_by: str = ""
    """Version of the model whose scores arrived last."""
    scored_at: int = 0
    """When they arrived, ms UTC."""
    watch: Watch | None = None
    """Set while a partition of this tenant is copied: records which users change."""

    @classmethod
    def new(cls, tenant_id: TenantId, rows: list[LogRow]) -> Tenant:
        """Make an empty tenant. ``rows``: where the shard collects rows for the warehouse."""
        seed = tenant_seed(tenant_id)
        people = Population(seed)
        tenant = cls(tenant_id, seed, people, Loop(tenant_id, people, rows))
        tenant.pin_names()
        return tenant

    def pin_names(self) -> None:
        """Pin the names that get a code whatever else arrives: built-in ones, and those in published configuration."""
        counted = (live.program.events for live in self.segments.live.values())
        names = {*BUILT_IN, *self.segments.live, *self.loop.campaigns.events()}.union(*counted)
        self.people.names.pinned = names

    def home(self, key: UserKey) -> Partition:
        """Return the partition of a user key."""
        return partition_of(key, self.seed)

    def post(self, source: Partition, target: Partition, body: LetterBody) -> Letter:
        """Keep a letter until it is confirmed, and return it."""
        self.sent[source] += 1
        sequence = int(self.sent[source])
        letter = Letter(self.id, source, target, sequence, body, self.chain.get((source, target), 0))
        self.chain[source, target] = sequence
        self.letters[source, sequence] = letter
        return letter

    def is_next(self, letter: Letter) -> bool:
        """Return whether a letter is new and every one before it from its source to its target was applied."""
        return letter.after <= self.cursors.get((letter.target, letter.source), 0) < letter.sequence

    def erased_at(self, key: UserKey) -> int | None:
        """Return when a key was last erased, ms UTC, or None."""
        tombstone = self.tombstones.get(message_hash(key)) if self.tombstones else None
        return None if tombstone is None else tombstone[1]

    def row_for(self, key: UserKey) -> int:
        """Return the row of a key, created if missing; a new row of an erased key gets its floor."""
        people = self.people
        row = people.keys.get(key)
        if row is None:
            row = people.row(key, self.home(key))
            erased_at = self.erased_at(key)
            if erased_at is not None:
                self.floors[row] = erased_at
        return row

    def traits_written(self, row: int, written: Written, *, count: bool) -> None:
        """Make segments test traits that changed again, and count refused ones if ``count``."""
        self.segments.traits_changed(self.people, row, written.changed)
        if not count:
            return
        for reason, n_refused in written.refused.items():
            self.counters[f"{REFUSED_TRAITS}{reason}"] += n_refused

    def fit_inbox(self, row: int, now: int) -> None:
        """Make a user's inbox fit its bound, and count the entries that had to make room."""
        held = self.loop.engagements.get(row)
        if held is not None and held.inbox:
            held.inbox, n_over = fitted(held.inbox, now)
            if n_over:
                self.counters["dropped.inbox_full"] += n_over

    def touch(self, rows: NDArray[np.int64]) -> None:
        """Mark users as changed, just before or just after they change."""
        if self.watch is not None:
            self.watch.touch(rows)

    def touch_one(self, row: int) -> None:
        """Mark one user as changed."""
        if self.watch is not None:
            self.watch.touch_one(row)

    def n_users(self) -> int:
        """Count the live users here that have any event."""
        table, n = self.people.table, self.people.table.n
        return int(np.count_nonzero((table["status"][:n] == LIVE) & (table["n_events"][:n] > 0)))
