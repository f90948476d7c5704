"""Gateway replicas under a step of load: how many run, how long requests take and what fails, second by second.

    python -m tests.benchmarks.bench_scaling [--low 4] [--high 64] [--seconds 60] [--json FILE]

Clients in threads, each with one request of 50 events under way: few, then many, then few again. Ray Serve scales
between gateway.min_replicas and max_replicas by requests in flight; every change makes HAProxy reload, and no request
may be dropped by that: whatever is not answered 200 is counted by what it was. In the end the events that were told yes
are compared with those that the shards count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.stand import Stand, Tenant, running

GATEWAY = "ray::ServeReplica:gateway"
BATCH = 50
SETTINGS = {
    "CLUSTER_NUM_CPUS": 4,
    "GATEWAY_MIN_REPLICAS": 1,
    "GATEWAY_MAX_REPLICAS": 2,
    "GATEWAY_TARGET_ONGOING_REQUESTS": 8,
}


@dataclass(slots=True)
class Clients:
    tenant: Tenant
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    """(moment, seconds it took, status or kind of error)"""
    n_acknowledged: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, n: int) -> None:
        for _ in range(n):
            thread = threading.Thread(target=self._run, args=(len(self._threads), self._stop))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """All of them, after the request that each is waiting for."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._stop = threading.Event()

    def _run(self, client: int, stop: threading.Event) -> None:
        number = 0
        url, headers = self.tenant.stand.url, self.tenant.http.headers
        with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
            while not stop.is_set():
                body = {
                    "batch": [
                        {"type": "track", "event": "Clicked", "userId": f"u{(number * BATCH + i) % 5_000}",
                         "messageId": f"{client}-{number}-{i}"}
                        for i in range(BATCH)
                    ]
                }  # fmt: skip
                number += 1
                while not self._told(http, body):
                    time.sleep(0.1)

    def _told(self, http: httpx.Client, body: dict[str, Any]) -> bool:
        """One attempt, as an SDK makes it: the same body again after anything but yes."""
        began = time.monotonic()
        try:
            came = str(http.post("/v1/batch", json=body).status_code)
        except httpx.TransportError as error:
            came = type(error).__name__
        with self._lock:
            self.answers.append((began, time.monotonic() - began, came))
            self.n_acknowledged += BATCH if came == "200" else 0
        return came == "200"


def replicas_over_time(stand: Stand, stop: threading.Event) -> list[tuple[float, int]]:
    found = []
    while not stop.wait(1.0):
        found.append((time.monotonic(), len(stand.processes(GATEWAY))))
    return found


def by_second(began: float, clients: Clients, replicas: list[tuple[float, int]]) -> list[dict[str, Any]]:
    rows = []
    for at, n in replicas:
        waits = sorted(took * 1000 for moment, took, _ in clients.answers if at - 1 <= moment < at)
        p = {f"p{q}_ms": round(waits[min(len(waits) - 1, len(waits) * q // 100)], 1) for q in (50, 99) if waits}
        rows.append({"second": round(at - began), "replicas": n, "requests": len(waits), **p})
    return rows


def measure(folder: Path, low: int, high: int, seconds: float) -> dict[str, Any]:
    with running(folder / "var", settings=SETTINGS) as stand:
        tenant = stand.tenant("scaling")
        clients, stop = Clients(tenant), threading.Event()
        seen: list[tuple[float, int]] = []
        watcher = threading.Thread(target=lambda: seen.extend(replicas_over_time(stand, stop)))
        began = time.monotonic()
        watcher.start()
        for n in (low, high, low):
            clients.start(n)
            time.sleep(seconds if n == high else seconds / 3)
            clients.stop()
        stop.set()
        watcher.join()
        counted = tenant.counts()["events_accepted"]
        by_status = Counter(came for _, _, came in clients.answers)
        return {
            "low": low,
            "high": high,
            "replicas_most": max(n for _, n in seen),
            "answers": dict(by_status),
            "acknowledged": clients.n_acknowledged,
            "counted": counted,
            "by_second": by_second(began, clients, seen),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--low", type=int, default=4, help="clients before and after the step")
    parser.add_argument("--high", type=int, default=64, help="clients in the step")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the step lasts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), options.low, options.high, options.seconds)
    print(f"{'second':>6} {'replicas':>8} {'requests':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for row in figures["by_second"]:
        print(f"{row['second']:>6} {row['replicas']:>8} {row['requests']:>8} {row.get('p50_ms', ''):>8} "
              f"{row.get('p99_ms', ''):>8}")  # fmt: skip
    print(json.dumps({name: value for name, value in figures.items() if name != "by_second"}))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
