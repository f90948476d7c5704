"""Which messageIds were counted: each once per (tenant, partition), by arrival time, for at least the window.

Ids are kept in generations of half a window; the oldest generation is dropped whole when it is a window old, or early
when the shard holds more than ``max_ids`` (counted as evicted: from then on a very late repeat could count again).

An id is 128 bits: 104 of the messageId's hash and 24 of the (tenant, partition) slot, so a partition's ids can be told
apart when it moves. Two of 10 million ids collide with a probability of 2.5e-18. Memory: 16 bytes and 6 to 9 of index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.words import kernel
from whisperer.ids import N_PARTITIONS
from whisperer.profiles.hash_index import HashIndex

WINDOW_MS = 24 * 3_600_000
_SLOT_BITS = 24
_SLOT_MASK = np.uint64((1 << _SLOT_BITS) - 1)


@kernel
def _compose(partition: Any, message_hash: Any, slots: Any, ids: Any) -> Any:
    """Write the ids; the place of the first event whose partition has no slot yet, or -1."""
    for i in range(len(partition)):
        slot = slots[partition[i]]
        if slot < 0:
            return i
        ids[i, 0] = message_hash[i, 0]
        ids[i, 1] = (message_hash[i, 1] & ~_SLOT_MASK) | np.uint64(slot)
    return -1


class Generation:
    __slots__ = ("ids", "newest", "started")

    def __init__(self, started: int) -> None:
        self.started = started
        self.newest = started
        self.ids = HashIndex(2)


class Dedup:
    def __init__(self, max_ids: int, window_ms: int = WINDOW_MS) -> None:
        self.max_ids = max_ids
        self.window_ms = window_ms
        self.n_evicted = 0
        self.generations: list[Generation] = []
        self._slots: dict[tuple[str, int], int] = {}
        self._tenant_slots: dict[str, NDArray[np.int64]] = {}
        """The same, an array a tenant, -1 where it has no slot yet."""

    def __len__(self) -> int:
        return sum(len(g.ids) for g in self.generations)

    @property
    def nbytes(self) -> int:
        return sum(g.ids.nbytes for g in self.generations)

    def admit(
        self, tenant: str, partition: NDArray[np.uint16], message_hash: NDArray[np.uint64], now: int
    ) -> NDArray[np.bool_]:
        """True for the first arrival of each id; ``message_hash`` has shape (n, 2)."""
        self.rotate(now, len(partition))
        ids = np.empty((len(partition), 2), np.uint64)
        slots = self._tenant_slots.setdefault(tenant, np.full(N_PARTITIONS, -1, np.int64))
        while (lacking := _compose(partition, message_hash, slots, ids)) >= 0:
            slots[partition[lacking]] = self._slot(tenant, int(partition[lacking]))
        unseen: NDArray[np.bool_] | None = None
        for generation in self.generations[:-1]:
            absent = generation.ids.find(ids) < 0
            unseen = absent if unseen is None else unseen & absent
        current = self.generations[-1]
        current.newest = now
        if unseen is None or unseen.all():
            return current.ids.upsert(ids)[1]
        fresh = np.zeros(len(ids), np.bool_)
        fresh[unseen] = current.ids.upsert(ids[unseen])[1]
        return fresh

    def rotate(self, now: int, incoming: int = 0) -> None:
        """Open and drop generations as time and size ask for."""
        half = self.window_ms // 2
        if not self.generations:
            self.generations.append(Generation(now))
        current = self.generations[-1]
        if len(current.ids) and (now - current.started >= half or len(current.ids) + incoming > self.max_ids // 3):
            self.generations.append(Generation(now))
        while len(self.generations) > 1:
            oldest = self.generations[0]
            expired = now - oldest.newest >= self.window_ms
            if not expired and len(self) + incoming <= self.max_ids:
                break
            self.n_evicted += 0 if expired else len(oldest.ids)
            del self.generations[0]

    def is_due(self, now: int) -> bool:
        """Whether a generation would be closed or dropped."""
        if not self.generations:
            return False
        oldest, current = self.generations[0], self.generations[-1]
        half = self.window_ms // 2
        return (len(current.ids) > 0 and now - current.started >= half) or (
            len(self.generations) > 1 and now - oldest.newest >= self.window_ms
        )

    # -- moving a partition, snapshots ---------------------------------------------------------------------------

    def extract(self, tenant: str, partition: int) -> list[tuple[int, int, bytes]]:
        """(started, newest, ids) of one partition; the slot's bits are zero in the ids."""
        slot = self._slots.get((tenant, partition))
        if slot is None:
            return []
        found = []
        for generation in self.generations:
            keys = generation.ids.keys[: len(generation.ids)]
            mine = keys[(keys[:, 1] & _SLOT_MASK) == np.uint64(slot)].copy()
            mine[:, 1] &= ~_SLOT_MASK
            if len(mine):
                found.append((generation.started, generation.newest, mine.tobytes()))
        return found

    def join(self, tenant: str, partition: int, stored: list[tuple[int, int, bytes]]) -> None:
        slot = np.uint64(self._slot(tenant, partition))
        for started, newest, data in stored:
            keys = np.frombuffer(data, np.uint64).reshape(-1, 2).copy()
            keys[:, 1] |= slot
            generation = next((g for g in self.generations if g.started >= started), None)
            if generation is None:
                generation = Generation(started)
                self.generations.append(generation)
            generation.newest = max(generation.newest, newest)
            generation.ids.upsert(keys)

    def drop(self, tenant: str, partition: int) -> None:
        slot = self._slots.get((tenant, partition))
        if slot is not None:
            for generation in self.generations:
                keys = generation.ids.keys[: len(generation.ids)]
                generation.ids.keep((keys[:, 1] & _SLOT_MASK) != np.uint64(slot))

    def dump(self) -> tuple[dict[str, Any], list[NDArray[np.uint64]]]:
        meta = {
            "n_evicted": self.n_evicted,
            "slots": [[tenant, partition, slot] for (tenant, partition), slot in self._slots.items()],
            "generations": [[g.started, g.newest] for g in self.generations],
        }
        return meta, [g.ids.keys[: len(g.ids)].copy() for g in self.generations]

    def load(self, meta: dict[str, Any], ids: list[NDArray[np.uint64]]) -> None:
        self.n_evicted = meta["n_evicted"]
        self._slots = {(tenant, partition): slot for tenant, partition, slot in meta["slots"]}
        self._tenant_slots = {}
        self.generations = []
        for (started, newest), keys in zip(meta["generations"], ids, strict=True):
            generation = Generation(started)
            generation.newest = newest
            generation.ids.load(keys)
            self.generations.append(generation)

    def _slot(self, tenant: str, partition: int) -> int:
        return self._slots.setdefault((tenant, partition), len(self._slots))
