"""Which partitions to move so that shards carry alike: a plan to look at before anything is moved.

A partition's load is its share of all users plus its share of all events per second, so the shards' loads add up to 2,
or to 1 while nothing comes in. Few moves are better than a perfect balance: each is the largest step left, and the plan
ends where the next would gain little.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

ENOUGH = 0.05
"""The plan ends when no shard is further than this share above the mean, or no move brings it nearer."""


@dataclass(frozen=True, slots=True)
class Held:
    """One partition and what it means to its shard."""

    tenant: str
    partition: int
    shard: int
    users: int
    events_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    held: Held
    target: int


def loads(held: Sequence[Held], shards: Collection[int]) -> dict[int, float]:
    """Load of each shard, in the unit above."""
    found = dict.fromkeys(sorted(shards), 0.0)
    for partition, weight in zip(held, _weights(held), strict=True):
        found[partition.shard] = found.get(partition.shard, 0.0) + weight
    return found


def balance(held: Sequence[Held], shards: Collection[int], draining: Collection[int] = ()) -> list[Planned]:
    """Moves that leave the shards nearly alike; nothing stays on or goes to a draining one.

    Raises ValueError when every shard is draining.
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
