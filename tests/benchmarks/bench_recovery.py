"""How soon a shard of a million users with a million-event tail serves again, on one core.

Builds the state through the shard itself, snapshots it, journals the tail, and times what a restarted actor does before
it answers: newest snapshot read, tail replayed. Also states how much a first snapshot and a later one write, after one
user in a hundred was seen again (spread at random: the worst case, and then those who came last). `--scales` adds sizes
for the curve, `--picture` draws it.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.journal import open_journal
from actors.shard import recovery
from actors.snapshots.store import Saved, SnapshotStore
from tests.benchmarks import blocks, report
from tests.benchmarks.pictures import Line, Panel, write
from whisperer.ports import Journal
from whisperer.settings import Settings
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Events, Record, encode_record

BLOCK = 5_000
TOUCHED = 0.01
WANTED_S = 15.0


class Scene:
    """One shard with its journal and snapshots in a folder; :meth:`send` journals and applies."""

    def __init__(self, folder: Path) -> None:
        self.settings = msgspec.convert(
            {
                "cluster": {"shards": 1, "cpu_shard": 0.1, "cpu_directory": 0.1, "cpu_learner": 0.1},
                "journal": {"url": f"file://{folder}/journal", "segment_bytes": 64 << 20},
                "snapshots": {"interval_s": 300, "uri": f"file://{folder}/snapshots", "keep": 2},
                "warehouse": {"uri": f"file://{folder}/warehouse", "flush_interval_s": 60},
                "dedup": {"max_ids": 20_000_000, "window_h": 24},
            },
            Settings,
        )
        self.store = SnapshotStore(self.settings.snapshots.uri, "shard-0000")
        self.shard = Shard(0)
        self.journal: Journal = open_journal(self.settings.journal.url, 0)
        self.n_sent = 0
        self.apply_s = 0.0
        self._write(blocks.segments())

    def send(self, users: NDArray[np.int64]) -> None:
        for first in range(0, len(users), BLOCK):
            some = users[first : first + BLOCK]
            numbers = np.arange(self.n_sent, self.n_sent + len(some))
            self.n_sent += len(some)
            now = blocks.NOW + self.n_sent
            self._write(Record(RECORD_VERSION, self.journal.epoch, now, Events(blocks.block(numbers, some, now))))

    def snapshot(self) -> Saved:
        draft = self.store.draft()
        draft.write(recovery.parts(self.shard))
        saved = draft.publish({}, lsn=self.journal.end, epoch=self.journal.epoch)
        self.store.prune(self.settings.snapshots.keep)
        return saved

    def _write(self, record: Record) -> None:
        (position,) = self.journal.append([encode_record(record)])
        began = time.perf_counter()
        self.shard.apply([(position, record)])
        self.apply_s += time.perf_counter() - began


def measure(folder: Path, n_users: int, n_tail: int) -> dict[str, Any]:
    scene = Scene(folder)
    random = np.random.default_rng(7)
    everyone = np.arange(n_users)
    scene.send(everyone)
    apply_us = scene.apply_s / n_users * 1e6
    snapshots: dict[str, dict[str, float]] = {}

    def snapshot(name: str) -> None:
        began = time.perf_counter()
        saved = scene.snapshot()
        seconds = time.perf_counter() - began
        snapshots[name] = {
            "seconds": round(seconds, 2),
            "mib": round(saved.n_bytes / 2**20, 1),
            "chunks": saved.n_chunks,
            "new_chunks": saved.n_new,
        }

    snapshot("first")
    snapshot("second")  # shares nothing with the first; what comes later builds upon the one before the last
    n_touched = max(1, int(n_users * TOUCHED))
    snapshot("unchanged")
    snapshot("unchanged_too")
    scene.send(everyone[-n_touched:])
    snapshot("one_percent_newest")
    snapshot("one_percent_newest_too")
    scene.send(random.choice(everyone, n_touched, replace=False))
    snapshot("one_percent_at_random")
    snapshot("one_percent_at_random_too")
    scene.send(random.integers(0, n_users, n_tail))
    people = scene.shard.tenants[blocks.TENANT].people
    n_bytes = {"columns": people.table.nbytes, "history": people.history.nbytes, "timeline": people.timeline.nbytes}
    dedup = scene.shard.dedup.nbytes / len(scene.shard.dedup)
    scene.journal.close()
    scene.shard = Shard(0)  # the built one is let go
    gc.collect()
    cpu_began = time.process_time()
    recovered = recovery.recover(0, scene.settings, scene.store)
    cpu_s = time.process_time() - cpu_began
    tenant = recovered.shard.tenants[blocks.TENANT]
    assert tenant.n_users() == n_users
    assert tenant.counters["events_accepted"] == scene.n_sent
    recovered.journal.close()
    began, cpu_began = time.perf_counter(), time.process_time()
    found = recovery.prepare(scene.settings, scene.store)
    load_s, load_cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    assert found is not None
    return {
        "users": n_users,
        "tail_events": n_tail,
        "recovery_s": round(recovered.seconds, 2),
        "of_that_snapshot_s": round(load_s, 2),
        "recovery_cpu_s": round(cpu_s, 2),
        "of_that_snapshot_cpu_s": round(load_cpu_s, 2),
        "apply_us_per_event": round(apply_us, 2),
        "snapshots": snapshots,
        "bytes_a_user": {name: round(size / n_users) for name, size in n_bytes.items()},
        "dedup_bytes_an_id": round(dedup, 1),
    }


def draw(path: Path, curve: list[dict[str, Any]]) -> None:
    millions = [(point["users"] / 1e6, point) for point in curve]
    panel = Panel(
        "Time until a shard serves again",
        "million users, and as many events since the snapshot (at most a million)",
        "seconds",
        [
            Line("snapshot and tail", [(x, point["recovery_s"]) for x, point in millions]),
            Line("of that the snapshot", [(x, point["of_that_snapshot_s"]) for x, point in millions]),
        ],
        level=WANTED_S,
        level_name="wanted at a million",
    )
    sizes = Panel(
        "What a snapshot writes",
        "million users",
        "MiB",
        [
            Line(name, [(x, point["snapshots"][key]["mib"]) for x, point in millions])
            for name, key in (
                ("everything", "first"),
                ("1 % seen again, anywhere", "one_percent_at_random"),
                ("1 % seen again, the newest", "one_percent_newest"),
                ("nothing changed", "unchanged_too"),
            )
        ],
    )
    write(path, [panel, sizes], report.hardware()["cpu"])


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--tail", type=int, default=1_000_000)
    parser.add_argument("--scales", type=int, nargs="*", default=[100_000], help="other sizes for the curve")
    parser.add_argument("--picture", type=Path, help="draw the curve here, as SVG")
    options = parser.parse_args()
    curve = []
    for n_users in sorted({*options.scales, options.users}):
        print(f"{n_users} users ...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            curve.append(measure(Path(folder), n_users, min(options.tail, n_users)))
    if options.picture:
        draw(options.picture, curve)
    report.publish("recovery", {"curve": curve}, options.json, durability="file journal, snapshot on local disk")


if __name__ == "__main__":
    main()
