"""What an event costs and a user takes in memory as users grow to ten million and shard actors to eight; as curves.

Users: one shard in this process, fed with blocks of known users' events at each size; the median block counts, the
longest is stated. Over HTTP: an installation at a few sizes and with 1 to 8 shard actors. Writes a picture.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.benchmarks import blocks, generator, ours, report
from tests.benchmarks.pictures import Line, Panel, write
from tests.benchmarks.prebuilt import folder as folder_in_memory
from tests.benchmarks.screen import say, table
from tests.support.stand import running
from whisperer.shard.machine import Shard
from whisperer.shard.warm import warm

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "growth.svg"
GOAL_BYTES = 600
FILL_BLOCK = 2_000
N_CHUNK_BLOCKS = 50


def main() -> None:
    options = _options()
    figures: dict[str, Any] = {"users": users_curve(options)}
    with tempfile.TemporaryDirectory(prefix="bench-") as data, folder_in_memory() as requests:
        http_users = [_http(Path(data) / f"u{n}", Path(requests), 2, n, options) for n in options.http_users]
        actors = [_http(Path(data) / f"s{n}", Path(requests), n, 100_000, options) for n in options.shards]
    figures |= {"users_over_http": http_users, "shard_actors": actors}
    print(as_tables(figures))
    picture(options.picture, figures)
    report.publish(
        "growth",
        figures,
        options.json,
        payload=f"blocks of {options.block} events of known users, 1 in {blocks.TRAITS_EVERY} with traits; "
        f"over HTTP batches of {ours.BATCH}",
        durability="none in the curve of users (the state machine alone); over HTTP fdatasync before 2xx",
        segments=len(ours.SEGMENTS),
    )


def _options() -> argparse.Namespace:
    parser = report.arguments(__doc__)
    sizes = [100_000, 300_000, 1_000_000, 2_000_000, 5_000_000]
    parser.add_argument(
        "--users", type=int, nargs="+", default=sizes, help="sizes of the curve; 10,000,000 needs 12 GB"
    )
    parser.add_argument("--events", type=int, default=200_000, help="measured at each size")
    parser.add_argument("--block", type=int, default=1_000, help="events a block")
    parser.add_argument("--http-users", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 2, 4, 8], help="numbers of shard actors over HTTP")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run over HTTP")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser.parse_args()


def users_curve(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One shard that grows from size to size."""
    warm()  # compiling is the actor's start, not an event's cost
    shard, now, number, position = Shard(0), blocks.NOW, 0, 0
    process, random = psutil.Process(), np.random.default_rng(5)
    shard.apply([(position, blocks.segments(now))])
    gc.collect()
    empty, filled, curve = process.memory_info().rss, 0, []

    def apply(users: list[np.ndarray[Any, Any]]) -> list[float]:
        """CPU seconds an event of each block; the blocks are made before the clock starts."""
        nonlocal now, number, position
        records = []
        for these in users:
            now += 50
            numbers = np.arange(number, number + len(these))
            records.append(blocks.events(numbers, these, now))
            number += len(these)
        took = []
        for record, these in zip(records, users, strict=True):
            position += 1
            began = time.thread_time()
            shard.apply([(position, record)])
            took.append((time.thread_time() - began) / len(these))
        return took

    for size in sorted(options.users):
        say(f"growing to {size:,} users")
        fill: list[float] = []
        while filled < size:
            chunk = []
            while filled < size and len(chunk) < N_CHUNK_BLOCKS:
                last = min(size, filled + FILL_BLOCK)
                chunk.append(np.arange(filled, last))
                filled = last
            fill += apply(chunk)
        known: list[float] = []
        for _ in range(max(1, options.events // options.block // N_CHUNK_BLOCKS)):
            known += apply([random.integers(0, size, options.block) for _ in range(N_CHUNK_BLOCKS)])
            now += blocks.DAY_MS // 4  # days pass, so that rings and histories have more than one day
        gc.collect()
        held = memory(shard)
        curve.append(
            {
                "users": size,
                "us_per_event": round(float(np.median(known)) * 1e6, 3),
                "mean_us_per_event": round(float(np.mean(known)) * 1e6, 3),
                "us_per_new_user": round(float(np.median(fill)) * 1e6, 3),
                "longest_apply_ms": round(
                    max(max(known) * options.block, max(fill, default=0.0) * FILL_BLOCK) * 1000, 1
                ),
                "bytes_a_user": {name: round(size_bytes / size) for name, size_bytes in held.items()},
                "dedup_bytes_an_id": round(shard.dedup.nbytes / len(shard.dedup), 1),
                "events_a_user": round(number / size, 2),
                "resident_bytes_a_user": round((process.memory_info().rss - empty) / size),
            }
        )
        say(f"{size:,} users: {curve[-1]['us_per_event']} us an event, {curve[-1]['bytes_a_user']} bytes a user")
    return curve


def memory(shard: Shard) -> dict[str, int]:
    """Bytes by what they hold. ``features`` and ``index`` are what a user costs whoever does nothing further."""
    people = shard.tenants[blocks.TENANT].people
    return {
        "features": people.table.nbytes,
        "index": people.keys.nbytes,
        "history": people.history.nbytes,
        "timeline": people.timeline.nbytes,
        "traits": people.traits_bytes,
        "dedup": shard.dedup.nbytes,
    }


def _http(data_dir: Path, folder: Path, shards: int, users: int, options: argparse.Namespace) -> dict[str, Any]:
    """A run at saturation on a new installation whose users have been seen before."""
    say(f"over HTTP: {shards} shard actors, {users:,} users")
    settings = {"CLUSTER_NUM_CPUS": max(4, shards), "SNAPSHOTS_INTERVAL_S": 86_400}
    with running(data_dir, shards=shards, settings=settings) as stand:
        tenant = stand.tenant("bench")
        ours.publish_segments(tenant)
        key = ours.authorization(tenant)
        warm = ours.batches(folder / "batches", key, max(150_000, users), users)
        rate = generator.saturate(warm, stand.port, 16, max(2.0, users / 50_000)).per_s
        stand.settled()
        requests = ours.batches(folder / "batches", key, round(rate * ours.BATCH * options.seconds * 1.5), users)
        run = ours.measured(
            stand, tenant, ours.BATCH, lambda: generator.saturate(requests, stand.port, 16, options.seconds)
        )
        found = run.figures()
        names = (
            "events_per_s",
            "p50_ms",
            "p99_ms",
            "cpu_us_per_event",
            "cpu_us_per_event_by_process",
            "events_per_fsync",
        )
        return {"shards": shards, "users": users, **{n: found[n] for n in names}, "memory": ours.memory(stand, tenant)}


def as_tables(figures: dict[str, Any]) -> str:
    held = list(figures["users"][0]["bytes_a_user"])
    users = [
        [f"{p['users']:,}", p["us_per_event"], p["us_per_new_user"], p["longest_apply_ms"], *p["bytes_a_user"].values()]
        for p in figures["users"]
    ]
    http = [
        [f"{p['users']:,}", p["shards"], p["events_per_s"], p["cpu_us_per_event"], p["p99_ms"]]
        for p in (*figures["users_over_http"], *figures["shard_actors"])
    ]
    flat = flatness(figures["users"])
    return "\n\n".join(
        (
            table(
                ("users", "us an event", "us a new user", "longest apply, ms", *(f"{h}, B/user" for h in held)), users
            ),
            f"cost of an event, largest over smallest up to 5 M users: {flat:.2f} (wanted: 1.20)",
            *([table(("users", "shard actors", "events/s", "us an event", "p99 ms"), http)] if http else []),
            "",
        )
    )


def flatness(curve: list[dict[str, Any]]) -> float:
    costs = [point["us_per_event"] for point in curve if 100_000 <= point["users"] <= 5_000_000] or [1.0]
    return float(max(costs) / min(costs))


def picture(path: Path, figures: dict[str, Any]) -> None:
    curve = figures["users"]
    held = list(curve[0]["bytes_a_user"])
    panels = [
        Panel(
            "Cost of an event in the shard", "users", "CPU, us",
            [
                Line("known user", [(p["users"], p["us_per_event"]) for p in curve]),
                Line("new user", [(p["users"], p["us_per_new_user"]) for p in curve]),
            ],
            log_x=True,
        ),
        Panel(
            "Memory a user", "users", "bytes",
            [Line(name, [(p["users"], p["bytes_a_user"][name]) for p in curve]) for name in held],
            log_x=True, level=GOAL_BYTES, level_name="goal: features and index",
        ),
    ]  # fmt: skip
    for name, x, label in (("users_over_http", "users", "users"), ("shard_actors", "shards", "shard actors")):
        if points := figures[name]:
            line = Line("events/s", [(p[x], p["events_per_s"]) for p in points])
            panels.append(Panel(f"Events/s over HTTP by {label}", label, "events/s", [line], log_x=True))
    write(path, panels, f"{report.hardware()['cores']} cores, {report.hardware()['cpu']}; load generator on the same")


if __name__ == "__main__":
    main()
