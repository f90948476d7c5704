"""Plan which partitions to move so that shards carry equal loads; nothing is moved here.

A partition's load is its share of all users plus its share of all events per second, so the shards' loads add up to 2,
or to 1 while no events arrive. Few moves are preferred to a perfect balance: each move is the largest improvement left,
and the plan ends where the next would gain little.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from whisperer.ids import Partition

ENOUGH = 0.05
"""The plan ends when the fullest shard is at most this share above the mean load, or no move brings it closer."""


@dataclass(frozen=True, slots=True)
class Held:
    """Describe one partition and its load on its shard; ``tenant`` is the tenant's id or name."""

    tenant: str
    partition: Partition
    shard: int
    users: int
    events_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """Name one move: a partition and the shard it goes to."""

    held: Held
    target: int


def loads(held: Sequence[Held], shards: Collection[int]) -> dict[int, float]:
    """Return the load of each shard, as defined above."""
    found = dict.fromkeys(sorted(shards), 0.0)
    for partition, weight in zip(held, _weights(held), strict=True):
        found[partition.shard] = found.get(partition.shard, 0.0) + weight
    return found


def balance(held: Sequence[Held], shards: Collection[int], draining: Collection[int] = ()) -> list[Planned]:
    """Return moves that leave the shards about equally loaded; nothing stays on or goes to a draining shard.

    Raises ValueError if every shard is draining.
    """
    taking = [shard for shard in shards if shard not in draining]
    if not taking:
        raise ValueError("no shard is left that takes partitions")
    weights = dict(zip(held, _weights(held), strict=True))
    at = loads(held, shards)
    plan: dict[Held, int] = {}

    def put(partition: Held, target: int) -> None:
        plan[partition] = target
        at[partition.shard] -= weights[partition]
        at[target] += weights[partition]

    for partition in sorted((h for h in held if h.shard not in taking), key=lambda h: -weights[h]):
        put(partition, min(taking, key=at.__getitem__))
    mean = sum(at[shard] for shard in taking) / len(taking)
    while True:
        fullest, emptiest = max(taking, key=at.__getitem__), min(taking, key=at.__getitem__)
        gap = at[fullest] - at[emptiest]
        steps = [h for h in held if h.shard == fullest and h not in plan and 0 < weights[h] < gap]
        if at[fullest] - mean <= ENOUGH * mean or not steps:
            return [Planned(partition, target) for partition, target in plan.items()]
        put(min(steps, key=lambda h: abs(weights[h] - gap / 2)), emptiest)


def _weights(held: Sequence[Held]) -> list[float]:
    users = sum(h.users for h in held) or 1
    events = sum(h.events_per_s for h in held)
    return [h.users / users + (h.events_per_s / events if events else 0.0) for h in held]
