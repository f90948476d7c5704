"""Durable events per second over HTTP, and what one costs, beside the floor: straight-line code and a Serve no-op.

Starts an installation of its own and drives it from outside with prebuilt requests (wrk where present), every messageId
new: batches of 500 at saturation, at half of that rate and while snapshots are taken; single events at 500 a second and
at saturation. Checks that everything acknowledged was counted once. The floor takes the same bodies in the same run, with
as many events an fdatasync as the product had.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import floor, generator, ours, processes, report
from tests.benchmarks.ours import BATCH, Run
from tests.benchmarks.prebuilt import folder as folder_in_memory
from tests.benchmarks.screen import say, table
from tests.benchmarks.serve_apps import deploy_beside
from tests.support.stand import Stand, Tenant, running

SPARE = 1.5
"""Prebuilt requests for so much more than was reckoned: a run must not end for want of them."""
SNAPSHOT_EVERY_S = 4
NEVER_S = 86_400


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as data,
        folder_in_memory() as requests,
    ):
        bench = Bench(Path(data) / "data", Path(requests), options)
        figures = bench.run()
    print(as_table(figures))
    report.publish(
        "ingest",
        figures,
        options.json,
        payload=f"Segment batches of {BATCH}, {figures['bytes_per_event']} bytes an event, every messageId new",
        durability="fdatasync before 2xx, group commit, file journal",
        load_generator=f"{generator.name()}, same machine",
        shards=options.shards,
        segments=options.segments,
        users=options.users,
    )


def _options() -> argparse.Namespace:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32, help="in the runs of batches at saturation")
    parser.add_argument("--single-connections", type=int, default=32)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--segments", type=int, default=3, help="published segments that stay on while measuring")
    parser.add_argument("--without-snapshots", action="store_true", help="leave out the run under snapshots")
    return parser.parse_args()


class Bench:
    """The runs, in order; each leaves its figures."""

    def __init__(self, data_dir: Path, requests: Path, options: argparse.Namespace) -> None:
        self._data_dir = data_dir
        self._requests = requests
        self._options = options
        self._figures: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        options = self._options
        say("starting an installation")
        with running(self._data_dir, shards=options.shards, settings={"SNAPSHOTS_INTERVAL_S": NEVER_S}) as stand:
            deploy_beside(stand, "noop", "tests.benchmarks.noop_app:build", "/noop")
            tenant = stand.tenant("bench")
            ours.publish_segments(tenant, options.segments)
            self._key = ours.authorization(tenant)
            peak = self._peak(stand, tenant)
            self._noop(stand)
            self._floor(peak)
            half = self._steady(stand, tenant, peak.load.per_s / 2, "half_peak")
            self._singles(stand, tenant)
            self._figures["memory"] = ours.memory(stand, tenant)
        if not options.without_snapshots:
            self._under_snapshots(tenant, peak.load.per_s / 2, half)
        return self._figures

    def _peak(self, stand: Stand, tenant: Tenant) -> Run:
        options = self._options
        warm = self._saturate(stand, tenant, 150_000, 2.0)
        n_events = round(warm.events_per_s * options.seconds * SPARE)
        say(f"warm at {warm.events_per_s:,.0f} events/s; {options.seconds:g} s of batches")
        run = self._saturate(stand, tenant, n_events, options.seconds)
        say(f"{run.events_per_s:,.0f} events/s, {run.cpu_us:.2f} us an event, p99 {run.load.p99_ms:.0f} ms")
        self._figures["batches"] = run.figures()
        return run

    def _saturate(self, stand: Stand, tenant: Tenant, n_events: int, seconds: float) -> Run:
        requests = ours.batches(self._requests / "batches", self._key, n_events, self._options.users)
        self._figures["bytes_per_event"] = round(requests.size_bytes / requests.n / BATCH)
        connections = self._options.connections
        return ours.measured(
            stand, tenant, BATCH, lambda: generator.saturate(requests, stand.port, connections, seconds)
        )

    def _noop(self, stand: Stand) -> None:
        """What HAProxy and Serve cost for the same bodies, when nothing is done with them."""
        say("the Serve no-op, same bodies")
        requests = ours.batches(self._requests / "batches", self._key, 2_000_000, self._options.users, "/noop/x")
        cpu = processes.cpu_seconds(stand)
        load = generator.saturate(requests, stand.port, self._options.connections, 2.0)
        spent = processes.spent(cpu, processes.cpu_seconds(stand))
        n = load.answered * BATCH
        self._figures["noop_batches"] = {
            "requests_per_s": round(load.per_s, 1),
            **load.latency(),
            "cpu_us_per_event": round(sum(spent.values()) / n * 1e6, 3),
            "cpu_us_per_event_by_process": {kind: round(s / n * 1e6, 3) for kind, s in spent.items()},
        }

    def _floor(self, peak: Run) -> None:
        say(f"the floor, {peak.group_events:.0f} events an fdatasync")
        bodies = list(ours.bodies(550_000, self._options.users))
        found = floor.both(bodies, self._data_dir, peak.group_events, self._options.users, warm=100)
        noop = self._figures["noop_batches"]["cpu_us_per_event"]
        self._figures["floor"] = {
            **found,
            "cpu_us_per_event": round(found["compiled"]["cpu_us_per_event"] + noop, 3),
            "ratio": round(peak.cpu_us / (found["compiled"]["cpu_us_per_event"] + noop), 3),
            "ratio_to_msgspec_and_numpy": round(
                peak.cpu_us / (found["msgspec and numpy"]["cpu_us_per_event"] + noop), 3
            ),
        }

    def _steady(self, stand: Stand, tenant: Tenant, per_s: float, name: str) -> Run:
        seconds = self._options.seconds
        say(f"{name}: {per_s:.0f} batches/s for {seconds:g} s")
        n_events = (round(per_s * seconds) + 1) * BATCH
        requests = ours.batches(self._requests / "batches", self._key, n_events, self._options.users)
        run = ours.measured(stand, tenant, BATCH, lambda: generator.steady(requests, stand.port, per_s, seconds))
        self._figures[name] = run.figures()
        return run

    def _singles(self, stand: Stand, tenant: Tenant) -> None:
        options = self._options
        path, seconds, connections = self._requests / "singles", options.seconds, options.single_connections
        say("single events at 500/s")
        requests = ours.singles(path, self._key, round(500 * seconds) + 1, options.users)
        run = ours.measured(stand, tenant, 1, lambda: generator.steady(requests, stand.port, 500, seconds))
        self._figures["singles_500_per_s"] = run.figures()
        say(f"single events, {connections} connections")
        requests = ours.singles(path, self._key, round(12_000 * seconds), options.users)
        run = ours.measured(stand, tenant, 1, lambda: generator.saturate(requests, stand.port, connections, seconds))
        self._figures["singles"] = run.figures()
        requests = ours.singles(path, self._key, 60_000, options.users, "/noop/x")
        load = generator.saturate(requests, stand.port, connections, 3.0)
        self._figures["noop_singles"] = {"requests_per_s": round(load.per_s, 1), **load.latency()}

    def _under_snapshots(self, tenant: Tenant, per_s: float, half: Run) -> None:
        """The half-peak run again in the same installation, started anew with a snapshot every few seconds."""
        say(f"starting again with a snapshot every {SNAPSHOT_EVERY_S} s")
        settings = {"SNAPSHOTS_INTERVAL_S": SNAPSHOT_EVERY_S}
        with running(self._data_dir, shards=self._options.shards, settings=settings) as stand:
            began = time.time()
            run = self._steady(stand, tenant, per_s, "half_peak_under_snapshots")
            n_written = sum(
                file.stat().st_mtime > began for file in (self._data_dir / "snapshots").rglob("*") if file.is_file()
            )
        self._figures["half_peak_under_snapshots"] |= {
            "snapshot_files_written": n_written,
            "p99_over_without": round(run.load.p99_ms / half.load.p99_ms, 2),
        }


def as_table(figures: dict[str, Any]) -> str:
    names = {
        "batches": f"batches of {BATCH}, saturated",
        "half_peak": "the same at half of the peak",
        "half_peak_under_snapshots": "the same under snapshots",
        "noop_batches": "Serve no-op, same bodies",
        "singles_500_per_s": "single events at 500/s",
        "singles": "single events, saturated",
        "noop_singles": "Serve no-op, single events",
    }
    rows = [
        [
            text,
            *(figures[name].get(key, "") for key in ("events_per_s", "requests_per_s", "p50_ms", "p95_ms", "p99_ms")),
        ]
        for name, text in names.items()
        if name in figures
    ]
    peak, below = figures["batches"], figures["floor"]
    by_process = peak["cpu_us_per_event_by_process"]
    costs = [[f"product: {kind}", us, ""] for kind, us in by_process.items()]
    costs += [
        ["product, all but the load generator", peak["cpu_us_per_event"], ""],
        *([f"floor: {step}", us, ""] for step, us in below["compiled"]["steps_us_per_event"].items()),
        ["floor: Serve no-op", figures["noop_batches"]["cpu_us_per_event"], ""],
        ["floor, straight-line code and no-op", below["cpu_us_per_event"], f"{below['ratio']:.2f} x"],
        ["the same with msgspec and numpy", round(
            below["msgspec and numpy"]["cpu_us_per_event"] + figures["noop_batches"]["cpu_us_per_event"], 2
        ), f"{below['ratio_to_msgspec_and_numpy']:.2f} x"],
        ["load generator, in neither", peak["load_generator_cpu_us_per_event"], ""],
    ]  # fmt: skip
    stored = [
        [name, peak[name]]
        for name in ("acknowledged", "counted", "journal_bytes", "fsyncs", "events_per_fsync", "fsync_ms")
    ]
    return "\n\n".join(
        (
            table(("run", "events/s", "requests/s", "p50 ms", "p95 ms", "p99 ms"), rows),
            table(("CPU", "us an event", "product over it"), costs),
            table(("saturated batches", ""), [*stored, *([f"RSS of {k}, MiB", v] for k, v in peak["rss_mib"].items())]),
            "",
        )
    )


if __name__ == "__main__":
    began = time.monotonic()
    main()
    say(f"took {time.monotonic() - began:.0f} s")
