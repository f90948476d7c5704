"""A partition's move between the shards of a world, step by step as the actors make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.support.shard_world import TENANT, World
from whisperer.shard.move.packing import Copying
from whisperer.shard.records import PartitionJoined, PartitionLeft, PartitionPart, PartitionSwept


class Move:
    def __init__(self, world: World, partition: int, version: int) -> None:
        self.world, self.partition, self.version = world, partition, version
        self.source = world.home(partition)
        self.target = (self.source + 1) % world.n
        self._n_sent = 0
        self.begin()

    def begin(self) -> None:
        """Also after either end has crashed."""
        self._n_sent = 0
        self.copying = Copying(self.world.shards[self.source], TENANT, self.partition)
        self.copy(0)

    def copy(self, most: int = 1_000) -> None:
        """Send up to so many of those the target does not know."""
        self.send(self.copying.pack(self.copying.changed()[:most]))

    def freeze(self) -> None:
        self.world.write(self.source, PartitionLeft(TENANT, self.partition, self.version, kept=True))

    def finish(self) -> None:
        """Everything after the freeze."""
        for _ in self.copying.scan_owners():
            pass
        while self.copying.changed().size or self.copying.has_gone():
            self.copy(2)
        self.send_all(self.copying.message_ids())
        self.send_all(self.copying.engagements())
        last = self.copying.last()
        for _ in range(2):  # driven again it changes nothing
            self.world.write(self.target, PartitionJoined(TENANT, self.partition, self.version, last))
        self.world.place[self.partition] = self.target

    def sweep(self, limit: int = 2) -> None:
        source = self.world.shards[self.source]
        self.world.write(self.source, PartitionSwept(TENANT, self.partition, limit))
        while (TENANT, self.partition) in source.sweeping:
            self.world.write(self.source, PartitionSwept(TENANT, self.partition, limit))
        self.copying.close()

    def send(self, part: bytes) -> None:
        for _ in range(2):  # told twice it counts once
            self.world.write(self.target, PartitionPart(TENANT, self.partition, self.version, self._n_sent, part))
        self._n_sent += 1

    def send_all(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.send(part)


def move(world: World, partition: int, version: int, *meanwhile: Callable[[], object]) -> None:
    """Move a partition; before each round of copying something else happens."""
    under_way = Move(world, partition, version)
    for happens in meanwhile:
        under_way.copy()
        happens()
    under_way.send_all(under_way.copying.message_ids())
    under_way.freeze()
    under_way.finish()
    under_way.sweep()


def rows(world: World, shard: int) -> int:
    """Rows with a key."""
    people = world.shards[shard].tenant(TENANT).people
    return len(people.keys) - len(people.keys.vacant())
