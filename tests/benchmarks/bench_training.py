"""What Ray Tune costs: a training run beside plain XGBoost that grows the same trials.

`--rows` rows of `--features` numbers, a label that depends on some of them, in ten cutoffs. "ours" is `python -m
training.train` as anyone would call it, rows read from Parquet, `--trials` trials at `--at-once`. "plain" is as many
processes with nothing but XGBoost: each maps the same matrix from a file, bins it once, and grows, one after another,
the trials that ours grew, with the parameters that ours tried and for as many rounds as ASHA let each of them run, and
looks at the held-out rows once a trial; a free process takes the next. Overhead is of the search: from rows in memory to
the last trial's end, Ray's start, processes, imports and binning included on both sides. Memory is the sum over all
processes, shared pages counted once (PSS). Wall times mean little on a machine that others use: CPU seconds stand beside.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks import report

_DAY_MS = 86_400_000
_GROUPS = 10
_EVERY_S = 0.5
_SETTINGS = {
    "objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": 0, "seed_per_iteration": True,
}  # fmt: skip


class Watch:
    """CPU seconds and memory of a process and all below it, twice a second."""

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, float, int]] = []
        self._root, self._spent = psutil.Process(pid), dict[int, float]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def cpu_s(self, since: float, until: float) -> float:
        """Between two moments of the monotonic clock."""
        times, spent = [at for at, *_ in self.samples], [cpu for _, cpu, _ in self.samples]
        return float(np.interp(until, times, spent) - np.interp(since, times, spent))

    @property
    def peak_bytes(self) -> int:
        return max(held for *_, held in self.samples)

    def _look(self) -> None:
        while not self._ended.wait(_EVERY_S):
            held = 0
            for process in self._all():
                try:
                    times = process.cpu_times()
                    self._spent[process.pid] = times.user + times.system
                    held += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.samples.append((time.monotonic(), sum(self._spent.values()), held))

    def _all(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return []


def make_rows(n: int, d: int, folder: Path) -> None:
    """``rows/*.parquet`` for ours; ``x.npy``, ``y.npy`` and the parts' bounds, which ours makes itself, for plain."""
    random = np.random.default_rng(7)
    x = np.empty((n, d), np.float32)
    y = np.empty(n, bool)
    (folder / "rows").mkdir()
    for group, rows in enumerate(np.array_split(np.arange(n), _GROUPS)):
        some = random.gamma(2.0, 1.0, (len(rows), d)).astype(np.float32)
        some[random.random(some.shape) < 0.02] = np.nan
        z = np.nan_to_num(some)
        margin = z[:, 0] - z[:, 1] + 0.3 * z[:, 2] * (z[:, 3] > 2) - 0.5 * (z[:, 4] > z[:, 5]) + 0.2 * z[:, 6] - 0.6
        left = random.random(len(rows)) < 1 / (1 + np.exp(-margin))
        columns = {f"f{k:02d}": some[:, k] for k in range(d)}
        cutoff = pa.array(np.full(len(rows), 1_600_000_000_000 + group * 15 * _DAY_MS), pa.timestamp("ms"))
        users = pa.array([f"u{user}" for user in rows % (n // 4)])
        table = pa.table({"user_key": users, "cutoff": cutoff, "came_back": ~left, **columns})
        pq.write_table(table, folder / "rows" / f"{group}.parquet")
        x[rows], y[rows] = some, left
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def ours(folder: Path, options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures, and the run's own result."""
    command = [
        sys.executable, "-m", "training.train", "--kind", "churn", "--rows", str(folder / "rows"),
        "--out", str(folder / "out"), "--trials", str(options.trials), "--at-once", str(options.at_once),
        "--rounds", str(options.rounds), "--stride", str(options.stride), "--local", "--json",
    ]  # fmt: skip
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        watch = Watch(running.pid)
        told, _ = running.communicate()
        watch.stop()
    ended = time.monotonic()
    result = json.loads(told)
    took = result["seconds"]
    searched = ended - took["model"]
    figures = {
        "search_s": took["search"],
        "search_cpu_s": round(watch.cpu_s(searched - took["search"], searched), 1),
        "rows_s": took["rows"],
        "model_and_report_s": took["model"],
        "all_s": round(ended - began, 1),
        "peak_mib": watch.peak_bytes >> 20,
    }
    return figures, result


def plain(folder: Path, trials: list[dict[str, Any]], bounds: tuple[int, int], at_once: int) -> dict[str, Any]:
    context = mp.get_context("spawn")
    began = time.monotonic()
    waiting, done = context.Queue(), context.Queue()
    for trial in trials:
        waiting.put((trial["parameters"], trial["steps"][-1]["rounds"]))
    for _ in range(at_once):
        waiting.put(None)
    running = [context.Process(target=_grow, args=(folder, bounds, waiting, done)) for _ in range(at_once)]
    for process in running:
        process.start()
    watches = [Watch(process.pid or 0) for process in running]
    losses = [done.get() for _ in trials]
    for process in running:
        process.join()
    ended = time.monotonic()
    for watch in watches:
        watch.stop()
    return {
        "search_s": round(ended - began, 1),
        "search_cpu_s": round(sum(watch.cpu_s(began, ended) for watch in watches), 1),
        "peak_mib": sum(watch.peak_bytes for watch in watches) >> 20,
        "best_loss": min(losses),
    }


def _grow(folder: Path, bounds: tuple[int, int], waiting: Any, done: Any) -> None:
    import xgboost

    first_held, first_test = bounds
    x, y = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy")
    train = xgboost.QuantileDMatrix(x[:first_held], y[:first_held], nthread=1)
    held = xgboost.QuantileDMatrix(x[first_held:first_test], ref=train, nthread=1)
    told = y[first_held:first_test]
    while (trial := waiting.get()) is not None:
        sought, rounds = trial
        booster = xgboost.train(_SETTINGS | sought, train, rounds, verbose_eval=False)
        p = booster.predict(held).astype(np.float64)
        done.put(float(-np.mean(np.log(np.clip(np.where(told, p, 1 - p), 1e-12, 1)))))


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=270)
    parser.add_argument("--stride", type=int, default=15)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-training-") as made:
        folder = Path(made)
        make_rows(options.rows, options.features, folder)
        ours_told, result = ours(folder, options)
        counts = result["rows"]
        bounds = counts["train"], counts["train"] + counts["held"]
        plain_told = plain(folder, result["trials"], bounds, options.at_once)
    rounds = [trial["steps"][-1]["rounds"] for trial in result["trials"]]
    figures = {
        "ours": ours_told,
        "plain": plain_told,
        "overhead_wall": round(ours_told["search_s"] / plain_told["search_s"] - 1, 3),
        "overhead_cpu": round(ours_told["search_cpu_s"] / plain_told["search_cpu_s"] - 1, 3),
        "rounds": sum(rounds),
        "rounds_without_asha": options.trials * options.rounds,
        "best_held_loss": min(step["held"] for trial in result["trials"] for step in trial["steps"]),
        "test": result["metrics"],
    }
    setting = {key: value for key, value in vars(options).items() if key != "json"}
    report.publish("training", figures, options.json, **setting)


if __name__ == "__main__":
    main()
