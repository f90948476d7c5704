"""The floor: what these events cost in straight-line code that imports nothing of the product.

One process, prebuilt bodies in memory: decode and validate, hash and partition, encode, CRC32C, write, fdatasync a group
of so many events, drop repeats, update columns, evaluate three segments. Two kinds: compiled kernels (what the product
must be compared with) and msgspec with numpy (what one would write first). Prints CPU a step and an event.

    python -m tests.benchmarks.floor [--events 500000] [--users 100000] [--group 1000] [--json FILE]
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec
import numpy as np

from tests.benchmarks import floor_columns, floor_hash, floor_kernels, report
from tests.benchmarks.floor_plain import Plain

SEED = 0x5EED
BUSY_EVENT = b"Report Exported"
PLAN = "team"
Sync = Callable[[int], None]


class Steps:
    """CPU seconds by step. Looking at the clock costs 0.2 us, so steps are bodies and groups, never events."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - began


class Compiled:
    """The floor in kernels."""

    def __init__(self, n_users: int, n_events: int) -> None:
        self.state = floor_columns.State(n_users, n_events)
        self.traits: dict[int, dict[str, tuple[int, int, Any]]] = {}
        self._busy = floor_hash.hashed(np.frombuffer(BUSY_EVENT + b"\0", np.uint8), 0, len(BUSY_EVENT), 3)

    @property
    def n_counted(self) -> int:
        return int(self.state.sequence.sum() - self.state.counts[floor_columns.N_REPEATS])

    def decode(self, body: bytes, now: int) -> tuple[Any, Any, list[Any]]:
        """(what :meth:`apply` takes, number of events, pieces to store)."""
        text = np.frombuffer(body, np.uint8)
        rows = np.empty((500, floor_kernels.N_FIELDS), np.int64)
        n = floor_kernels.scan(text, rows, SEED)
        if n < 0:
            raise ValueError("the body is not a batch")
        stored = np.empty((n, floor_kernels.N_STORED), np.int64)
        floor_kernels.encode(rows, n, now, stored)
        return (body, text, rows), n, [stored.tobytes(), body]

    def apply(self, decoded: tuple[bytes, Any, Any], n: int, now: int, position: int) -> None:
        body, text, rows = decoded
        floor_columns.apply(text, rows, n, now, position, self._busy, *self.state.arrays())
        stated = np.flatnonzero(rows[:n, floor_kernels.TRAITS_END])
        users = self.state.rows
        for e in stated.tolist():
            if (user := int(users[e])) < 0:
                continue
            first, last = rows[e, floor_kernels.TRAITS : floor_kernels.TRAITS_END + 1].tolist()
            version = (int(rows[e, floor_kernels.TIME]), position + e)
            held = self.traits.setdefault(user, {})
            for name, value in msgspec.json.decode(body[first:last]).items():
                if name not in held or held[name][:2] < version:
                    held[name] = (*version, value)
            self.state.short[user, floor_columns.U_PLAN] = held.get("plan", (0, 0, None))[2] == PLAN


def measure(
    kind: Compiled | Plain, bodies: Sequence[bytes], folder: Path, group_events: int, sync: Sync = os.fdatasync
) -> dict[str, Any]:
    """Ingest every body; CPU by step in us an event, and what was counted.

    A group is as many whole bodies as come nearest to ``group_events``; below half a body it is still one body.
    """
    steps, position, n_events, n_groups = Steps(), 0, 0, 0
    counted = kind.n_counted
    per_group = max(1, round(group_events / 500))
    path = folder / "floor"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    began, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(bodies), per_group):
        now = time.time_ns() // 1_000_000
        group, pieces = [], []
        with steps.step("decode, validate, partition, encode"):
            for body in bodies[at : at + per_group]:
                decoded, n, stored = kind.decode(body, now)
                group.append((decoded, n))
                pieces += stored
        with steps.step("crc"):
            crc = 0
            for piece in pieces:
                crc = google_crc32c.extend(crc, piece)
            head = sum(map(len, pieces)).to_bytes(4, "little") + crc.to_bytes(4, "little")
        with steps.step("write"):
            os.writev(fd, [head, *pieces])
        with steps.step("fdatasync"):
            sync(fd)
        with steps.step("dedup, columns, segments"):
            for decoded, n in group:
                kind.apply(decoded, n, now, position)
                position, n_events = position + n, n_events + n
        n_groups += 1
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    os.close(fd)
    path.unlink()
    return {
        "cpu_us_per_event": round(cpu / n_events * 1e6, 3),
        "events_per_s": round(n_events / seconds),
        "steps_us_per_event": {name: round(s / n_events * 1e6, 3) for name, s in steps.cpu_s.items()},
        "events": n_events,
        "counted": kind.n_counted - counted,
        "groups": n_groups,
    }


def both(bodies: Sequence[bytes], folder: Path, group_events: int, n_users: int, warm: int) -> dict[str, Any]:
    """Both kinds over the same bodies, the first ``warm`` of them before the clock starts."""
    n_events = 500 * len(bodies)
    figures: dict[str, Any] = {}
    kind: Compiled | Plain
    gc.disable()  # nothing here makes cycles; the product keeps the collector from its state, too
    try:
        for name, make in (
            ("compiled", lambda: Compiled(n_users, n_events)),
            ("msgspec and numpy", lambda: Plain(n_users)),
        ):
            kind = make()
            measure(kind, bodies[:warm], folder, group_events)
            figures[name] = measure(kind, bodies[warm:], folder, group_events)
    finally:
        gc.enable()
    return figures


def main() -> None:
    from training.simulator import load_batches  # what is sent, not how it is taken

    parser = report.arguments(__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--group", type=int, default=1_000, help="events that share an fdatasync")
    options = parser.parse_args()
    start = datetime.now(UTC) - timedelta(hours=2)
    bodies = list(load_batches(2, options.events + 50_000, 500, n_users=options.users, start=start))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = both(bodies, Path(folder), options.group, options.users, 100)
    report.publish("floor", figures, options.json, durability="fdatasync a group", group_events=options.group)


if __name__ == "__main__":
    main()
