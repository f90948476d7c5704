"""Memory, files and sockets of each process over time, and what their growth comes to."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from typing import Any

import psutil

from tests.benchmarks.soak import Chore
from tests.support.stand import Stand

WARM_S = 600.0
"""Of a process's life: caches fill, kernels load, the allocator finds its size."""
LEAST_SAMPLES = 20


class Memory(Chore):
    name = "memory"
    every_s = 15.0

    def __init__(self, stand: Stand) -> None:
        super().__init__()
        self._stand = stand
        self._seen: dict[tuple[str, int], list[tuple[float, int, int]]] = defaultdict(list)
        self._began = time.monotonic()
        self._files: list[tuple[float, int, int]] = []

    def once(self) -> None:
        now = time.monotonic()
        for process in self._stand.processes():
            try:
                title = (process.cmdline() or [process.name()])[0].split("/")[-1][:60]
                sample = now - self._began, process.memory_info().rss, process.num_fds()
            except psutil.Error:
                continue
            self._seen[title, process.pid].append(sample)
        sizes = [path.stat().st_size for path in self._stand.data_dir.rglob("*") if path.is_file()]
        self._files.append((now - self._began, len(sizes), sum(sizes)))

    def figures(self) -> dict[str, Any]:
        """By process: MiB at the end of its warm-up and last, MiB an hour between (Theil-Sen), open files."""
        rows = {}
        for (title, pid), samples in sorted(self._seen.items()):
            warm = min(WARM_S, (samples[-1][0] - samples[0][0]) / 4)
            kept = [sample for sample in samples if sample[0] - samples[0][0] >= warm]
            if len(kept) < LEAST_SAMPLES:
                continue
            rows[f"{title} {pid}"] = {
                "minutes": round((kept[-1][0] - kept[0][0]) / 60, 1),
                "rss_mib": [round(kept[0][1] / 2**20), round(kept[-1][1] / 2**20)],
                "mib_per_hour": round(slope([(at, rss) for at, rss, _ in kept]) * 3600 / 2**20, 1),
                "fds": [kept[0][2], kept[-1][2]],
            }
        (_, n_first, first), (_, n_last, last) = self._files[0], self._files[-1]
        return {"processes": rows, "data_folder": {"files": [n_first, n_last], "mib": [first >> 20, last >> 20]}}


def slope(points: list[tuple[float, float]]) -> float:
    """Median of the slopes of all pairs a quarter of the points apart or more: one burst does not tilt it (Theil 1950)."""
    apart = max(1, len(points) // 4)
    slopes = [
        (points[j][1] - points[i][1]) / (points[j][0] - points[i][0])
        for i in range(len(points))
        for j in range(i + apart, len(points), max(1, len(points) // 60))
    ]
    return statistics.median(slopes) if slopes else 0.0
