"""Erased means erased, whatever shard exports and when: shards, exporter and warehouse, with moves, crashes, returns."""

from __future__ import annotations

from typing import Any

import pyarrow.fs as pafs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.files.blobs import BlobFolder
from actors.warehouse import Warehouse
from actors.warehouse.export import export_range, known
from tests.support.shard_world import SEED, TENANT, World, event
from tests.unit.whisperer.shard.moves import move
from whisperer.ids import partition_of
from whisperer.shard.records import ErasureDone

USERS = ["ann", "bob"]
STEPS = 3


class Stand:
    """A world whose shards export; an erasure goes the way of :class:`actors.shard.housekeeping.Housekeeping`, step by step."""

    def __init__(self) -> None:
        self.world = World()
        self.warehouse = Warehouse(BlobFolder("bucket", filesystem=pafs._MockFileSystem()), pseudonym_key=b"secret")
        self.exported = [0] * self.world.n
        self.wanted: dict[str, list[str]] = {user: [] for user in USERS}
        self.erased_at = dict.fromkeys(USERS, 0)
        self.version = 1
        self._serial = 0

    def send(self, user: str, age: int) -> None:
        """An event dated so long ago, or ahead."""
        self._serial += 1
        self.world.now += 1
        at, id = self.world.now - age, f"m{self._serial}"
        self.world.send(event(user, at=at, id=id, received=self.world.now))
        if at > self.erased_at[user]:
            self.wanted[user].append(id)

    def move(self, user: str) -> None:
        self.version += 1
        move(self.world, partition_of(f"u:{user}", SEED), self.version)

    def erase(self, user: str) -> None:
        self.world.now += 1
        self.world.erase(f"u:{user}")
        self.wanted[user], self.erased_at[user] = [], self.world.now

    def flush(self, shard: int) -> None:
        first, journal = self.exported[shard], self.world.journals[shard]
        if first == len(journal):
            return
        self.exported[shard] = len(journal)
        records = list(enumerate(journal))[first:]
        told = known(self.world.shards[shard], first, len(journal))
        export_range(self.warehouse, told, first, len(journal), records)
        self.world.shards[shard].forget_exported(len(journal))
        self.world.exported[shard] = len(journal)

    def take_out(self, shard: int, n_steps: int = STEPS) -> None:
        """Work on what a shard is erasing; fewer steps are a crash in between."""
        erasing = {t.id: dict(t.erasing) for t in self.world.shards[shard].tenants.values() if t.erasing}
        for number in range(n_steps):
            match number:
                case 0:
                    for other in range(self.world.n):
                        self.flush(other)
                case 1:
                    for tenant, erased in erasing.items():
                        self.warehouse.erase(tenant, erased)
                case 2:
                    for tenant, erased in erasing.items():
                        for key, at in erased.items():
                            self.world.write(shard, ErasureDone(tenant, key, at))

    def settle(self) -> None:
        """Nothing of the erased waits any more."""
        for shard in range(self.world.n):
            self.take_out(shard)

    def stored(self) -> dict[str, list[str]]:
        found = {user: self.warehouse.read_events(TENANT, [f"u:{user}"]) for user in USERS}
        return {user: sorted(row.message_id for row in rows) for user, rows in found.items()}


USER, SHARD = st.sampled_from(USERS), st.integers(0, 1)
HAPPENS = st.one_of(
    st.tuples(st.just("send"), USER, st.sampled_from([0, 0, 1, 3, 50, -50])),
    st.tuples(st.just("move"), USER),
    st.tuples(st.just("erase"), USER),
    st.tuples(st.just("flush"), SHARD),
    st.tuples(st.just("take_out"), SHARD, st.integers(1, STEPS - 1)),
    st.tuples(st.just("settle")),
)


@settings(max_examples=60, deadline=None)
@example([("send", "ann", 0), ("move", "ann"), ("erase", "ann")])  # journaled at the former home, not exported yet
@example([("send", "ann", 0), ("erase", "ann"), ("settle",), ("send", "ann", 50), ("move", "ann")])  # came late
@example([("send", "ann", -50), ("erase", "ann"), ("send", "ann", 0)])  # dated ahead; came back before the rewrite
@given(st.lists(HAPPENS, max_size=25))
def test_no_row_from_before_an_erasure_stays_and_each_from_after_it_does(story: list[tuple[Any, ...]]) -> None:
    stand = Stand()
    for name, *arguments in story:
        getattr(stand, name)(*arguments)
    stand.settle()
    for shard in range(stand.world.n):
        stand.flush(shard)
    assert stand.stored() == {user: sorted(ids) for user, ids in stand.wanted.items()}
    stand.world.check()
