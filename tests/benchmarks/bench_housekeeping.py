"""What snapshots, exports and compactions cost those who send: latency at a steady rate, with and without each.

One shard in this process: real committer, file journal with fdatasync, snapshots, warehouse. Batches are submitted on
time whatever the answers do (an open loop); latency counts from when a batch was due until it was durable and applied.
Rounds of nothing, snapshot, export and compaction take turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from actors.calls.shards import ShardCalls
from actors.processes.bookkeeper import Bookkeeper
from actors.shard.commit import Committer
from actors.shard.housekeeping import Housekeeping
from actors.warehouse import Warehouse
from actors.warehouse.export import Exporter
from actors.warehouse.jobs import worker
from tests.benchmarks import blocks, report
from tests.benchmarks.bench_recovery import Scene
from whisperer.shard.records import Events

EVENTS = 500
N_MADE = 400
"""Blocks made before a round; each round sends new message ids."""

Work = Callable[[], Awaitable[Any]]


async def nothing() -> None: ...


class Load:
    """Sends batches at a rate for as long as a piece of work lasts, and for at least ``seconds``."""

    def __init__(self, committer: Committer, n_users: int, rate: float, first_number: int) -> None:
        self._committer = committer
        self._n_users = n_users
        self._rate = rate
        self._number = first_number
        self._random = np.random.default_rng(11)

    def make(self) -> list[bytes]:
        made = []
        for _ in range(N_MADE):
            numbers = np.arange(self._number, self._number + EVENTS)
            self._number += EVENTS
            users = self._random.integers(0, self._n_users, EVENTS)
            made.append(blocks.block(numbers, users, blocks.NOW + self._number))
        return made

    async def during(self, work: Work, made: list[bytes]) -> tuple[list[float], float]:
        """(latency of each batch in ms, seconds the work took)"""
        latencies: list[float] = []
        waiting: set[asyncio.Task[None]] = set()

        async def send(block: bytes, due: float) -> None:
            await self._committer.submit(Events(block), len(block))
            latencies.append((time.perf_counter() - due) * 1000)

        async def timed() -> float:
            began = time.perf_counter()
            await work()
            return time.perf_counter() - began

        began = time.perf_counter()
        working = asyncio.ensure_future(timed())
        for n, block in enumerate(made):
            due = began + n * EVENTS / self._rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.ensure_future(send(block, due))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)
        return latencies, await working


async def measure(folder: Path, options: Any) -> dict[str, Any]:
    bookkeeper = Bookkeeper(worker(str(folder / "warehouse"), b""))
    bookkeeper.start()
    scene = Scene(folder)
    print(f"building {options.users} users ...", file=sys.stderr)
    scene.send(np.arange(options.users))
    warehouse = Warehouse(folder / "warehouse")
    failures: list[BaseException] = []
    committer = Committer(
        scene.journal,
        scene.shard,
        on_effects=lambda _: None,
        on_failure=failures.append,
        clock=lambda: scene.shard.now + 1,
        max_waiting_bytes=1 << 30,
    )
    exporter = Exporter(scene.shard, scene.journal, warehouse)
    keeping = Housekeeping(
        scene.shard,
        scene.journal,
        committer,
        exporter,
        scene.store,
        scene.settings,
        warehouse,
        ShardCalls(),
        bookkeeper,
        None,
        Path("no training"),
    )
    works: dict[str, Work] = {"nothing": nothing, "snapshot": keeping.snapshot, "export": keeping.export}
    works["compaction"] = keeping.compact
    load = Load(committer, options.users, options.rate, scene.n_sent)
    latencies: dict[str, list[float]] = defaultdict(list)
    took: dict[str, list[float]] = defaultdict(list)
    pauses = []
    for number in range(options.rounds):
        for name, work in works.items():
            made, counts = load.make(), committer.counts
            before = (counts.sync_s, counts.apply_s)
            found, seconds = await load.during(work, made)
            print(
                f"round {number}: {name} {seconds:.2f} s, p99 {np.percentile(found, 99):.1f} ms, "
                f"syncing {counts.sync_s - before[0]:.2f} s, applying {counts.apply_s - before[1]:.2f} s",
                file=sys.stderr,
            )
            latencies[name] += found
            took[name].append(round(seconds, 2))
            if name == "snapshot":
                pauses.append(keeping.last_snapshot.pause_ms or 0.0)
    await committer.close()
    bookkeeper.close()
    assert not failures
    return {
        "users": options.users,
        "events_per_s": options.rate,
        "latency_ms": {name: _spread(found) for name, found in latencies.items()},
        "seconds": dict(took),
        "snapshot_pause_ms": pauses,
    }


def _spread(found: list[float]) -> dict[str, float]:
    at = dict(zip(("p50", "p95", "p99", "max"), np.percentile(found, [50, 95, 99, 100]), strict=True))
    return {"batches": len(found), **{name: round(float(value), 2) for name, value in at.items()}}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=50_000, help="events/s, in batches of 500")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = asyncio.run(measure(Path(folder), options))
    report.publish("housekeeping", figures, options.json, durability="file journal, one fdatasync a group")


if __name__ == "__main__":
    main()
