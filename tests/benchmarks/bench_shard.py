"""What an event costs the shard itself, step by step, with 100,000 to 5 million users and three segments live.

One shard in this process, no disk: it is filled with users, then blocks of events of random users are applied. CPU
time of this thread, so that a busy machine does not count; the median block, the mean and the longest single one.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from typing import Any

import numpy as np

from tests.benchmarks import blocks, report
from tests.benchmarks.screen import say, table
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Events, Record
from whisperer.shard.warm import warm

FILL_BLOCK = 5_000
AT_ONCE = 50


class Clock:
    """CPU seconds by step, told by the shard."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._since = 0.0

    def begin(self) -> None:
        self._since = time.thread_time()

    def passed(self, step: str) -> None:
        now = time.thread_time()
        self.seconds[step] += now - self._since
        self._since = now


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--events", type=int, default=200_000, help="measured at each size")
    parser.add_argument("--block", type=int, default=1_000, help="events a block")
    parser.add_argument("--no-traits", action="store_true", help="leave out the events with traits, 1 in 20")
    options = parser.parse_args()
    warm()
    curve = []
    for n_users in options.users:
        say(f"{n_users:,} users")
        curve.append(measure(n_users, options.events, options.block, traits=not options.no_traits))
    steps = sorted({step for size in curve for step in size["us_by_step"]})
    figures = ("us_an_event", "us_mean", "longest_ms", "longest_fill_ms")
    rows = [
        [
            f"{size['users']:,}",
            *(size[name] for name in figures),
            *(size["us_by_step"].get(step, 0.0) for step in steps),
        ]
        for size in curve
    ]
    print(table(("users", "us/event", "mean", "longest ms", "filling ms", *steps), rows))
    print(
        table(("users", *curve[0]["bytes_a_user"]), [(f"{s['users']:,}", *s["bytes_a_user"].values()) for s in curve])
    )
    report.publish("shard", {"curve": curve}, options.json, block=options.block, segments=3, durability="none")


def measure(n_users: int, n_events: int, n_block: int, *, traits: bool) -> dict[str, Any]:
    shard, random = Shard(0), np.random.default_rng(5)
    shard.apply([(0, blocks.segments())])
    position, number, now = 0, 0, blocks.NOW

    def apply(users: list[np.ndarray[Any, Any]]) -> list[float]:
        nonlocal position, number, now
        records: list[Record] = []
        for these in users:
            now += 50
            block = blocks.block(np.arange(number, number + len(these)), these, now, traits=traits)
            records.append(Record(RECORD_VERSION, 1, now, Events(block)))
            number += len(these)
        took = []
        for record in records:
            position += 1
            clock.begin()
            began = time.thread_time()
            shard.apply([(position, record)])
            took.append(time.thread_time() - began)
        return took

    clock = Clock()
    filling: list[float] = []
    for first in range(0, n_users, FILL_BLOCK * AT_ONCE):
        last = min(n_users, first + FILL_BLOCK * AT_ONCE)
        filling += apply([np.arange(at, min(at + FILL_BLOCK, last)) for at in range(first, last, FILL_BLOCK)])
    gc.collect()
    gc.freeze()
    clock = Clock()
    shard.steps = clock
    took: list[float] = []
    while len(took) * n_block < n_events:
        took += apply([random.integers(0, n_users, n_block) for _ in range(AT_ONCE)])
    n_measured = len(took) * n_block
    people = shard.tenants[blocks.TENANT].people
    sizes = {
        "columns": people.table.nbytes,
        "keys": people.keys.nbytes,
        "history": people.history.nbytes,
        "timeline": people.timeline.nbytes,
    }
    return {
        "users": n_users,
        "us_an_event": round(float(np.median(took)) / n_block * 1e6, 2),
        "us_mean": round(sum(took) / n_measured * 1e6, 2),
        "longest_ms": round(max(took) * 1e3, 1),
        "longest_fill_ms": round(max(filling) * 1e3, 1),
        "us_by_step": {step: round(seconds / n_measured * 1e6, 3) for step, seconds in clock.seconds.items()},
        "bytes_a_user": {name: round(size / n_users) for name, size in sizes.items()},
        "dedup_bytes_an_id": round(shard.dedup.nbytes / len(shard.dedup), 1),
    }


if __name__ == "__main__":
    main()
