"""How long a partition stands still while it moves, and how long anything else waits, against the number of its users.

    python -m tests.benchmarks.bench_moves [--users 20000] [--events-per-s 500] [--json FILE]

Two real shard actors with real journals, in one process, so both ends of the move and the clients share one core: an
installation does better. One client sends to users of the partition that moves, the other to those of another one on
the same shard; each one's longest wait for an answer is what its users notice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.calls.shards import CallStatus
from tests.support.local_shards import LocalShards, arguments, write_installation
from tests.support.shard_world import SEED, T0, TENANT, add, event
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import partition_of
from whisperer.profiles.warm import warm

MOVING = 0
OTHER = 2
BATCH = 20
FILL_AT_ONCE = 2_000


@dataclass(slots=True)
class Client:
    """Sends to the partition wherever it is, and notes how long each batch took until it was told yes."""

    shards: LocalShards
    keys: list[str]
    home: int
    events_per_s: float
    waits_ms: list[float] = field(default_factory=list)
    n_events: int = 0

    async def run(self, done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            keys = [self.keys[(number * BATCH + i) % len(self.keys)] for i in range(BATCH)]
            number += 1
            began = time.perf_counter()
            while await send(self.shards, self.home, keys, T0 + number) != CallStatus.OK:
                if await self.shards.call(1 - self.home, "has_joined", TENANT, MOVING, 2):
                    self.home = 1 - self.home
                await asyncio.sleep(0.005)
            self.waits_ms.append((time.perf_counter() - began) * 1000)
            self.n_events += BATCH
            await asyncio.sleep(max(0.0, BATCH / self.events_per_s - (time.perf_counter() - began)))


async def send(shards: LocalShards, shard: int, keys: list[str], at: int, name: str = "Clicked") -> str:
    builder = PartBuilder()
    for key in keys:
        add(builder, event(key, at=at, name=name))
    status, _ = await shards.call(shard, "ingest", 1, *arguments(merge(TENANT, [builder.build()])))
    return str(status)


def users_of(partition: int, n: int) -> list[str]:
    found: list[str] = []
    number = 0
    while len(found) < n:
        key = f"user-{number}"
        number += 1
        if partition_of(f"u:{key}", SEED) == partition:
            found.append(key)
    return found


async def measure(folder: Path, n_users: int, events_per_s: float) -> dict[str, Any]:
    warm()
    shards = LocalShards(write_installation(folder))
    source = shards.places.table(TENANT)[MOVING]
    moving, others = users_of(MOVING, n_users), users_of(OTHER, 1_000)
    for name in ("Opened", "Clicked", "Bought"):
        for keys in (moving, others):
            for at in range(0, len(keys), FILL_AT_ONCE):
                await send(shards, source, keys[at : at + FILL_AT_ONCE], T0, name)
    done = asyncio.Event()
    clients = [Client(shards, keys, source, events_per_s) for keys in (moving, others)]
    tasks = [asyncio.ensure_future(client.run(done)) for client in clients]
    await asyncio.sleep(1.0)
    before = [max(client.waits_ms) for client in clients]
    for client in clients:
        client.waits_ms.clear()
    _, figures = await shards.call(source, "hand_over", TENANT, MOVING, 2, 1 - source, timeout_s=600.0)
    await asyncio.sleep(0.5)
    done.set()
    await asyncio.gather(*tasks)
    counted = sum(actor._shard.tenants[TENANT].counters["events_accepted"] for actor in shards.actors.values())
    sent = 3 * (len(moving) + len(others)) + sum(client.n_events for client in clients)
    await shards.close()
    return {
        "users": n_users,
        "events_per_s": events_per_s,
        **figures,
        "bytes_per_user": figures["size_bytes"] / max(1, figures["users"]),
        "longest_wait_before_ms": max(before),
        "longest_wait_moving_ms": max(clients[0].waits_ms),
        "longest_wait_others_ms": max(clients[1].waits_ms),
        "lost_or_doubled": counted - sent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000, help="in the partition that moves")
    parser.add_argument("--events-per-s", type=float, default=500.0, help="of each of the two clients")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = asyncio.run(measure(Path(scratch), options.users, options.events_per_s))
    text = json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in figures.items()}, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
