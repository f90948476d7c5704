"""Remember which messageIds were counted: each once per (tenant, partition), for at least the window after arrival.

Each tenant's ids are kept in generations of half a window or a quarter of ``max_ids``; a generation is dropped whole
when it is a window old. When the shard holds more than ``max_ids``, only the tenant with the most ids, and so with more
than an equal share, loses its oldest (counted by tenant as evicted: from then on a very late repeat could count again).

Before version 5, records were applied with generations that all tenants shared and that were dropped whole, whoever had
filled them. Such records still are, so that replaying them gives the same result; one window later those generations
are gone. If room runs out before that, they go first, as they always did.

An id is 128 bits: 104 of the messageId's hash and 24 of the (tenant, partition) slot, so that a partition's ids can be
picked out when it moves. The probability that any two of 10 million ids collide is 2.5e-18. Memory: 16 bytes per id,
plus 6 to 9 of index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.ids import N_PARTITIONS, Partition, TenantId
from whisperer.profiles.hash_index import HashIndex

WINDOW_MS = 24 * 3_600_000
N_GENERATIONS = 4
"""Generations that ``max_ids`` fill: at most one of them is lost at once. Each new id is looked up in every generation,
at 0.1 us each."""
_SMALL = 4_096
_NEVER = 1 << 62
_ALL = TenantId("")
"""Stands for all tenants, whose ids the shared generations hold."""
_SLOT_BITS = 24
_SLOT_MASK = np.uint64((1 << _SLOT_BITS) - 1)


@kernel
def _compose(partition: Any, message_hash: Any, slots: Any, ids: Any) -> Any:
    """Fill in ``ids``; return the place of the first event whose partition has no slot yet, or -1."""
    for i in range(len(partition)):
        slot = slots[partition[i]]
        if slot < 0:
            return i
        ids[i, 0] = message_hash[i, 0]
        ids[i, 1] = (message_hash[i, 1] & ~_SLOT_MASK) | np.uint64(slot)
    return -1


class Generation:
    """Hold the ids that arrived from ``started`` to ``newest`` (ms UTC); they are dropped together."""

    __slots__ = ("ids", "newest", "started")

    def __init__(self, started: int) -> None:
        self.started = started
        self.newest = started
        self.ids = HashIndex(2)


class Dedup:
    """Remember the counted ids of every tenant in one shard."""

    def __init__(self, max_ids: int, window_ms: int = WINDOW_MS) -> None:
        self.max_ids = max_ids
        self.window_ms = window_ms
        self.evicted: Counter[TenantId] = Counter()
        """Ids forgotten before their window ended, by tenant; "" for those of shared generations."""
        self._shared: list[Generation] = []
        self._own: dict[TenantId, list[Generation]] = {}
        """Oldest first; no tenant's list is empty."""
        self._n_own: Counter[TenantId] = Counter()
        self._looked_through_until = _NEVER
        """Until this time (ms UTC) no tenant's generation can be a window old."""
        self._slots: dict[tuple[TenantId, Partition], int] = {}
        self._tenant_slots: dict[TenantId, NDArray[np.int64]] = {}
        """The same slots as one array per tenant, indexed by partition; -1 where there is none yet."""

    def __len__(self) -> int:
        return self._n_own.total() + sum(len(g.ids) for g in self._shared)

    def n_of(self, tenant: TenantId) -> int:
        """Return how many ids of a tenant are held, not counting those in shared generations."""
        return self._n_own[tenant]

    @property
    def n_evicted(self) -> int:
        """Return how many ids of all tenants were forgotten before their window ended."""
        return self.evicted.total()

    @property
    def nbytes(self) -> int:
        """Return the memory that the ids and their index take, in bytes."""
        return sum(g.ids.nbytes for g in self._all())

    def _all(self) -> Iterator[Generation]:
        yield from self._shared
        for own in self._own.values():
            yield from own

    def admit(
        self,
        tenant: TenantId,
        partition: NDArray[np.uint16],
        message_hash: NDArray[np.uint64],
        now: int,
        *,
        by_tenant: bool = True,
    ) -> NDArray[np.bool_]:
        """Count ids that arrive at ``now`` (ms UTC) and return, per event, whether it is the id's first arrival.

        ``partition`` has shape (n,), ``message_hash`` (n, 2). ``by_tenant`` False applies them with shared generations,
        as for records before version 5.
        """
        ids = np.empty((len(partition), 2), np.uint64)
        slots = self._tenant_slots.setdefault(tenant, np.full(N_PARTITIONS, -1, np.int64))
        while (lacking := _compose(partition, message_hash, slots, ids)) >= 0:
            slots[partition[lacking]] = self._slot(tenant, Partition(int(partition[lacking])))
        if by_tenant:
            self._make_room(tenant, ids, now)
            own = self._own[tenant]
            current, others = own[-1], [*self._shared, *own[:-1]]
        else:
            self._rotate_shared(now, len(partition))
            current, others = self._shared[-1], self._shared[:-1]
        current.newest = now
        unseen = np.ones(len(ids), np.bool_)
        for generation in others:
            generation.ids.leave_unknown(ids, unseen)
        if unseen.all():
            fresh = current.ids.upsert(ids)[1]
        else:
            fresh = np.zeros(len(ids), np.bool_)
            fresh[unseen] = current.ids.upsert(ids[unseen])[1]
        if by_tenant:
            self._n_own[tenant] += int(np.count_nonzero(fresh))
        return fresh

    def rotate(self, now: int, *, by_tenant: bool = True) -> None:
        """Drop generations that are a window old. ``by_tenant``: see :meth:`admit`."""
        if not by_tenant:
            self._rotate_shared(now)
            return
        self._shared = [g for g in self._shared if now - g.newest < self.window_ms]
        if now < self._looked_through_until:
            return
        for tenant in list(self._own):
            self._expire(tenant, now)
        self._look_ahead()

    def _look_ahead(self) -> None:
        oldest = (own[0].newest + self.window_ms for own in self._own.values())
        self._looked_through_until = min(oldest, default=_NEVER)

    def is_due(self, now: int) -> bool:
        """Return whether :meth:`rotate` might drop anything."""
        return now >= self._looked_through_until or any(now - g.newest >= self.window_ms for g in self._shared)

    def _make_room(self, tenant: TenantId, ids: NDArray[np.uint64], now: int) -> None:
        """Make room in a tenant's current generation for ``ids``, at the expense of whichever tenant has the most."""
        incoming = len(ids)
        self._expire(tenant, now)
        own = self._own.setdefault(tenant, [])
        if not own:
            self._looked_through_until = min(self._looked_through_until, now + self.window_ms)
        current = own[-1] if own else None
        most = max(1, self.max_ids // N_GENERATIONS)
        if current is None or (
            len(current.ids) and (now - current.started >= self.window_ms // 2 or len(current.ids) + incoming > most)
        ):
            own.append(Generation(now))
        if len(self) + incoming <= self.max_ids:
            return
        incoming = self._n_unknown(tenant, ids)  # repeats need no room
        excess = len(self) + incoming - self.max_ids
        while excess > 0 and self._shared:
            excess -= len(self._shared[0].ids)
            self.evicted[_ALL] += len(self._shared[0].ids)
            del self._shared[0]
        while excess > 0:
            # Incoming ids count as the tenant's own, so the one with the most has more than an equal share.
            held = {one: n + (incoming if one == tenant else 0) for one, n in self._n_own.items() if n}
            if not held:
                return
            excess -= self._evict(max(held, key=lambda one: (held[one], one)))

    def _n_unknown(self, tenant: TenantId, ids: NDArray[np.uint64]) -> int:
        unknown = np.unique(ids, axis=0)
        still = np.ones(len(unknown), np.bool_)
        for generation in [*self._shared, *self._own[tenant]]:
            generation.ids.leave_unknown(unknown, still)
        return int(np.count_nonzero(still))

    def _evict(self, tenant: TenantId) -> int:
        """Forget a tenant's oldest ids and return how many."""
        own = self._own[tenant]
        if len(own) > 1:
            freed = len(own.pop(0).ids)
        else:  # ids are in order of arrival: the newer half stays
            ids = own[0].ids
            freed = -(-len(ids) // 2)
            ids.load(ids.keys[freed : len(ids)].copy())
        self._n_own[tenant] -= freed
        self.evicted[tenant] += freed
        return freed

    def _expire(self, tenant: TenantId, now: int) -> None:
        own = self._own.get(tenant, [])
        while own and now - own[0].newest >= self.window_ms:
            self._n_own[tenant] -= len(own.pop(0).ids)
        if tenant in self._own and not own:
            del self._own[tenant]
            del self._n_own[tenant]

    def _rotate_shared(self, now: int, incoming: int = 0) -> None:
        """Open and drop shared generations as time and size require."""
        half = self.window_ms // 2
        if not self._shared:
            self._shared.append(Generation(now))
        current = self._shared[-1]
        if len(current.ids) and (now - current.started >= half or len(current.ids) + incoming > self.max_ids // 3):
            self._shared.append(Generation(now))
        while len(self._shared) > 1:
            oldest = self._shared[0]
            expired = now - oldest.newest >= self.window_ms
            if not expired and len(self) + incoming <= self.max_ids:
                break
            self.evicted[_ALL] += 0 if expired else len(oldest.ids)
            del self._shared[0]

    # -- moving a partition, snapshots ---------------------------------------------------------------------------

    def extract(self, tenant: TenantId, partition: Partition) -> list[tuple[int, int, bytes]]:
        """Return (started, newest, ids) per generation for one partition; the slot's bits are zero in the ids."""
        slot = self._slots.get((tenant, partition))
        if slot is None:
            return []
        found = []
        for generation in [*self._shared, *self._own.get(tenant, ())]:
            keys = generation.ids.keys[: len(generation.ids)]
            mine = keys[(keys[:, 1] & _SLOT_MASK) == np.uint64(slot)].copy()
            mine[:, 1] &= ~_SLOT_MASK
            if len(mine):
                found.append((generation.started, generation.newest, mine.tobytes()))
        return found

    def join(
        self, tenant: TenantId, partition: Partition, stored: list[tuple[int, int, bytes]], *, by_tenant: bool = True
    ) -> None:
        """Add a partition's ids that :meth:`extract` returned in another shard. ``by_tenant``: see :meth:`admit`."""
        slot = np.uint64(self._slot(tenant, partition))
        for started, newest, data in stored:
            keys = np.frombuffer(data, np.uint64).reshape(-1, 2).copy()
            keys[:, 1] |= slot
            generations = self._own.setdefault(tenant, []) if by_tenant else self._shared
            generation = next((g for g in generations if g.started >= started), None)
            if generation is None:
                generation = Generation(started)
                generations.append(generation)
            generation.newest = max(generation.newest, newest)
            n_new = int(np.count_nonzero(generation.ids.upsert(keys)[1]))
            if by_tenant:
                self._n_own[tenant] += n_new
        self._look_ahead()

    def drop(self, tenant: TenantId, partition: Partition) -> None:
        """Forget every id of a partition."""
        slot = self._slots.get((tenant, partition))
        if slot is None:
            return
        for generation in [*self._shared, *self._own.get(tenant, ())]:
            keys = generation.ids.keys[: len(generation.ids)]
            generation.ids.keep((keys[:, 1] & _SLOT_MASK) != np.uint64(slot))
        if tenant in self._own:
            self._own[tenant] = [g for g in self._own[tenant] if len(g.ids)]
            self._n_own[tenant] = sum(len(g.ids) for g in self._own[tenant])
            if not self._own[tenant]:
                del self._own[tenant]
                del self._n_own[tenant]

    def dump(self) -> tuple[dict[str, Any], list[NDArray[np.uint64]]]:
        """Return (meta, arrays) for :meth:`load`; the first array holds all small generations one after another."""
        arrays: list[NDArray[np.uint64]] = []
        small: list[NDArray[np.uint64]] = []
        generations: list[list[Any]] = []
        for tenant, held in [(_ALL, self._shared), *self._own.items()]:
            for g in held:
                keys = g.ids.keys[: len(g.ids)].copy()
                is_small = len(keys) < _SMALL
                (small if is_small else arrays).append(keys)
                generations.append([g.started, g.newest, tenant, len(keys), 0 if is_small else len(arrays)])
        meta = {
            "evicted": dict(self.evicted),
            "slots": [[tenant, partition, slot] for (tenant, partition), slot in self._slots.items()],
            "generations": generations,
            "n_arrays": len(arrays) + 1,
        }
        return meta, [np.concatenate([np.empty((0, 2), np.uint64), *small]), *arrays]

    @staticmethod
    def n_arrays(meta: dict[str, Any]) -> int:
        """Return how many arrays belong to ``meta`` from :meth:`dump`, written by this or an earlier release."""
        found: int = meta.get("n_arrays", len(meta["generations"]))
        return found

    def load(self, meta: dict[str, Any], arrays: list[NDArray[np.uint64]]) -> None:
        """Replace everything held with what :meth:`dump` returned, in this or an earlier release."""
        self._slots = {(tenant, partition): slot for tenant, partition, slot in meta["slots"]}
        self._tenant_slots = {}
        self._shared, self._own, self._n_own = [], {}, Counter()
        if "n_arrays" not in meta:  # from before version 5: one array per generation, all of them shared
            self.evicted = Counter({_ALL: meta["n_evicted"]})
            of_all = enumerate(zip(meta["generations"], arrays, strict=True))
            generations = [(*times, "", len(keys), number) for number, (times, keys) in of_all]
        else:
            self.evicted = Counter(meta["evicted"])
            generations = meta["generations"]
        at = [0] * len(arrays)
        for started, newest, tenant, n, number in generations:
            generation = Generation(started)
            generation.newest = newest
            generation.ids.load(arrays[number][at[number] : at[number] + n])
            at[number] += n
            (self._own.setdefault(tenant, []) if tenant else self._shared).append(generation)
            if tenant:
                self._n_own[tenant] += n
        self._look_ahead()

    def _slot(self, tenant: TenantId, partition: Partition) -> int:
        return self._slots.setdefault((tenant, partition), len(self._slots))
