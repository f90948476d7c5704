"""Pack what a partition takes along when it moves, as values; the shard it leaves is only read.

A :class:`Copying` copies one partition: while the shard still serves it, :meth:`Copying.pack` makes parts of its users,
and again of those that changed since; once the partition is frozen, the last few and :meth:`Copying.last` complete it.
Guarantees: the parts in order, and then the last word, are the partition exactly as it was when frozen. Leaves to
others: when to copy and how much at a time (:mod:`actors.shard.moving`), and what the new home does with it
(:mod:`whisperer.shard.move.partitions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.ids import Partition, TenantId, UserKey
from whisperer.journeys.engagement import Decision, Pinned
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles.hash_index import HashIndex
from whisperer.profiles.population import VACANT, Population
from whisperer.profiles.scores import SCORES
from whisperer.profiles.state import ProfileState
from whisperer.shard.records import ALIAS_ARBITER, Letter
from whisperer.shard.state.loop import Wish
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.state.watch import Watch

OWNERS_AT_ONCE = 10_000
IDS_AT_ONCE = 50_000
"""messageIds in one part, 0.8 MB."""
ENGAGEMENTS_AT_ONCE = 500


class MovedUser(msgspec.Struct, array_like=True):
    """Carry one user of a moving partition. Only a partition in one piece has the engagement in ``state``."""

    key: UserKey
    state: ProfileState
    target: UserKey | None
    floor: int | None
    segments: list[str]
    scores: list[float] = []
    """In the order of :data:`whisperer.profiles.scores.SCORES`; NaN for none yet."""


class PackedPart(msgspec.Struct, array_like=True):
    """Carry some of a partition. First forget ``gone``, then let ``users`` replace whatever was known of them.

    ``engagements`` (user key, encoded) are sent once, when they no longer change.
    """

    gone: list[UserKey] = []
    users: list[MovedUser] = []
    dedup: list[tuple[int, int, bytes]] = []
    engagements: list[tuple[UserKey, bytes]] = []
    pinned: list[Pinned] = []


class PartitionState(msgspec.Struct, array_like=True):
    """Carry everything of a partition except what the ``n_parts`` parts before it carried."""

    tenant: TenantId
    partition: Partition
    sequence: int
    sent: int
    cursors: list[tuple[Partition, int]]
    letters: list[Letter]
    owners: list[tuple[UserKey, UserKey, bool]]
    parents: dict[UserKey, UserKey]
    tombstones: list[tuple[bytes, int]]
    dedup: list[tuple[int, int, bytes]]
    users: list[MovedUser]
    retained: list[tuple[bytes, str, int, str]] = []
    pinned: list[Pinned] = []
    n_parts: int = 0
    chain: list[tuple[Partition, int]] | None = None
    """(target, sequence of the last letter to it); None from a release before version 5."""
    tree_sizes: dict[UserKey, int] | None = None
    """None from a release that did not count them."""
    aliases_asked: dict[UserKey, int] = {}
    wishes: list[tuple[bytes, list[Wish]]] = []


encode_part = msgspec.msgpack.Encoder().encode
decode_part = msgspec.msgpack.Decoder(PackedPart).decode
encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(PartitionState).decode


def rows_of(people: Population, partition: Partition) -> NDArray[np.int64]:
    """Return every row of a partition that has a key."""
    n = people.table.n
    return np.flatnonzero((people.table["partition"][:n] == partition) & (people.table["status"][:n] != VACANT))


def extract(shard: ShardState, tenant_id: TenantId, partition: Partition) -> bytes:
    """Return the whole partition encoded in one piece, for when nobody is waiting."""
    tenant = shard.tenant(tenant_id)
    decisions: list[Decision] = []
    users = []
    for row in rows_of(tenant.people, partition).tolist():
        user = _user(tenant, row)
        held = tenant.loop.engagements.get(row) or tenant.loop.asleep.get(row)
        if held is not None:
            user.state.engagement = encode_engagement(held)
            decisions += held.decisions
        users.append(user)
    state = _state(tenant, partition, [key for key in tenant.owners if tenant.home(key) == partition])
    state.users, state.dedup = users, shard.dedup.extract(tenant_id, partition)
    state.pinned = tenant.loop.campaigns.pinned_by(decisions)
    return encode_state(state)


class Copying:
    """Copy one partition of a serving shard. Creating it starts a :class:`Watch` on the tenant, until :meth:`close`."""

    def __init__(self, shard: ShardState, tenant_id: TenantId, partition: Partition) -> None:
        self._shard = shard
        self._tenant = shard.tenant(tenant_id)
        self._partition = partition
        self._owners: dict[UserKey, None] = {}
        self._ids = HashIndex(2)
        self.watch = self._tenant.watch = Watch()
        self.n_parts = 0

    def close(self) -> None:
        """Stop watching the tenant."""
        if self._tenant.watch is self.watch:
            self._tenant.watch = None

    def changed(self) -> NDArray[np.int64]:
        """Return the rows that the new home does not have, or not as they are now."""
        return self.watch.changed(rows_of(self._tenant.people, self._partition))

    def pack(self, rows: NDArray[np.int64]) -> bytes:
        """Return the next part: these users as they are now, and the keys that have gone."""
        self.watch.copied(rows)
        gone, self.watch.gone = self.watch.gone, []
        people = self._tenant.people
        status = people.table["status"]
        users = [_user(self._tenant, row) for row in rows.tolist() if status[row] != VACANT]
        return self._next(PackedPart([key for key in gone if self._tenant.home(key) == self._partition], users))

    def has_gone(self) -> bool:
        """Return whether keys have gone that no part has reported yet."""
        return bool(self.watch.gone)

    def scan_owners(self) -> Iterator[None]:
        """Find the owned anonymous ids whose home is this partition, a slice per step."""
        keys = iter(list(self._tenant.owners))
        while found := list(islice(keys, OWNERS_AT_ONCE)):
            self._owners.update((key, None) for key in found if self._tenant.home(key) == self._partition)
            yield

    def message_ids(self) -> Iterator[bytes]:
        """Yield parts with the messageIds that were counted since the last call."""
        for started, newest, data in self._shard.dedup.extract(self._tenant.id, self._partition):
            keys = np.frombuffer(data, np.uint64).reshape(-1, 2)
            for at in range(0, len(keys), IDS_AT_ONCE):
                piece = np.ascontiguousarray(keys[at : at + IDS_AT_ONCE])
                _, is_new = self._ids.upsert(piece)
                if is_new.any():
                    yield self._next(PackedPart(dedup=[(started, newest, piece[is_new].tobytes())]))

    def engagements(self) -> Iterator[bytes]:
        """Yield parts with the users' engagements; call it once the partition is frozen."""
        loop, people = self._tenant.loop, self._tenant.people
        partition = people.table["partition"]
        rows = iter([row for row in loop.asleep if partition[row] == self._partition])
        while slice_ := list(islice(rows, ENGAGEMENTS_AT_ONCE)):
            part = PackedPart()
            decisions: list[Decision] = []
            for row in slice_:
                key = people.keys.text(row)
                assert key is not None, "a vacant row has no engagement"
                part.engagements.append((key, encode_engagement(loop.asleep[row])))
                decisions += loop.asleep[row].decisions
            part.pinned = loop.campaigns.pinned_by(decisions)
            yield self._next(part)

    def last(self) -> bytes:
        """Return the last word; call it once the partition is frozen and all parts were made."""
        keys = {
            **self._owners,
            **dict.fromkeys(k for k in self.watch.owners if self._tenant.home(k) == self._partition),
        }
        state = _state(self._tenant, self._partition, list(keys))
        state.n_parts = self.n_parts
        return encode_state(state)

    def _next(self, part: PackedPart) -> bytes:
        self.n_parts += 1
        return encode_part(part)


def _user(tenant: Tenant, row: int) -> MovedUser:
    people = tenant.people
    key = people.keys.text(row)
    assert key is not None, "a vacant row does not move"
    segments = tenant.segments.of(people, row)
    scores = [float(people.table[name][row]) for name in SCORES]
    return MovedUser(key, people.extract(row), people.targets.get(row), tenant.floors.get(row), segments, scores)


def _state(tenant: Tenant, partition: Partition, owner_keys: list[UserKey]) -> PartitionState:
    owners = ((key, tenant.owners.get(key)) for key in owner_keys)
    return PartitionState(
        tenant=tenant.id,
        partition=partition,
        sequence=int(tenant.sequence[partition]),
        sent=int(tenant.sent[partition]),
        cursors=[(source, at) for (target, source), at in tenant.cursors.items() if target == partition],
        letters=[letter for (source, _), letter in tenant.letters.items() if source == partition],
        owners=[(key, owner.user, owner.shared) for key, owner in owners if owner is not None],
        parents=tenant.forest.parents if partition == ALIAS_ARBITER else {},
        tombstones=[(h, at) for h, (p, at) in tenant.tombstones.items() if p == partition],
        dedup=[],
        users=[],
        retained=[
            (digest, channel, at, reason)
            for digest, (p, channel, at, reason) in tenant.loop.retained.items()
            if p == partition
        ],
        chain=[(target, at) for (source, target), at in tenant.chain.items() if source == partition],
        tree_sizes=tenant.forest.sizes if partition == ALIAS_ARBITER else {},
        aliases_asked=tenant.forest.asked if partition == ALIAS_ARBITER else {},
        wishes=[(digest, wishes) for digest, (p, wishes) in tenant.loop.wishes.items() if p == partition],
    )
