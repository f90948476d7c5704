"""Control calls of one tenant next to single events of another: what they take, and what they cost the other.

One user with many events is exported; decisions that do not exist are looked for; lift is read; simulations of one
tenant and then one of another are begun; configuration is written again and again. Beside each of them, events of the
other tenant come one a request at a steady rate. Memory is looked at every 50 ms, the shards' and the gateway's.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks import load, report
from tests.support.campaigning import definition, experiment, launch
from tests.support.stand import Stand, Tenant, running
from whisperer.ids import new_id

BATCH = 500
CAMPAIGN = "on-demand"


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--events", type=int, default=150_000, help="of the user who is exported")
    parser.add_argument("--per-s", type=float, default=50.0, help="single events of the other tenant")
    parser.add_argument("--seconds", type=float, default=10.0, help="at least so long is each step watched")
    parser.add_argument("--only", default="", help="names of steps, with commas")
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running(Path(folder), shards=options.shards) as stand,
    ):
        heavy, light = stand.tenant("heavy"), stand.tenant("light")
        launch(heavy, CAMPAIGN, {"request": True}, window_s=86_400)
        launch(light, CAMPAIGN, {"request": True}, window_s=86_400)
        experiment(heavy, holdout=0.05, uniform=0.05)
        fill(heavy, options.events)
        fill(light, 200, users=200)
        watch = Watch(stand, light, options.per_s, options.seconds)
        steps: dict[str, Callable[[], Any]] = {
            "quiet": lambda: time.sleep(options.seconds),
            "export": lambda: export(heavy),
            "exports_at_once": lambda: at_once(8, lambda: export(heavy)),
            "export_cancelled": lambda: cancelled(heavy),
            "unknown_decisions": lambda: unknown_decisions(heavy),
            "lift": lambda: at_once(8, lambda: status_of(heavy, f"/v1/campaigns/{CAMPAIGN}/report/days")),
            "simulations": lambda: simulations(heavy, light),
            "writes": lambda: writes(heavy, options.seconds),
        }
        wanted = [name for name in options.only.split(",") if name] or list(steps)
        for name in wanted:
            figures[name] = watch.during(steps[name])
            print(json.dumps({name: figures[name]}), flush=True)
        heavy.close()
        light.close()
    report.publish(
        "controls",
        figures,
        options.json,
        payload=f"a user of {options.events} events; {options.per_s:g} single events a second of another tenant",
        shards=options.shards,
    )


class Watch:
    """Events of the other tenant, and everybody's memory, while something happens."""

    def __init__(self, stand: Stand, tenant: Tenant, per_s: float, seconds: float) -> None:
        self._stand, self._tenant, self._per_s, self._seconds = stand, tenant, per_s, seconds
        self._key = "Basic " + base64.b64encode(f"{tenant.write_key}:".encode()).decode()

    def during(self, step: Callable[[], Any]) -> dict[str, Any]:
        before = self._memory()
        most = dict(before)
        done = threading.Event()
        answers: list[load.Acknowledged] = []
        threads = [
            threading.Thread(target=self._sample, args=(most, done)),
            threading.Thread(target=self._send, args=(answers, done)),
        ]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        began = time.monotonic()
        found = step()
        took = time.monotonic() - began
        time.sleep(max(0.5, self._seconds - took))
        done.set()
        for thread in threads:
            thread.join()
        times = sorted(a.acknowledged_at - a.due_at for a in answers)
        refused = sum(a.status != 200 for a in answers)
        return {
            "step": found,
            "step_s": round(took, 2),
            "others": {
                "events": len(times),
                "refused": refused,
                **{f"p{p}_ms": round(times[min(len(times) - 1, len(times) * p // 100)] * 1000, 1) for p in (50, 99)},
                "max_ms": round(times[-1] * 1000, 1),
            },
            "rss_mib": {
                kind: [round(before.get(kind, 0) / 2**20), round(most[kind] / 2**20), round(now / 2**20)]
                for kind, now in self._memory().items()
            },
        }

    def _send(self, answers: list[load.Acknowledged], done: threading.Event) -> None:
        number = 0
        while not done.is_set():
            requests = []
            for _ in range(int(self._per_s)):
                number += 1
                body = {"userId": f"u-{number % 200}", "event": "Seen", "messageId": new_id("m")}
                requests.append(load.http_request("/v1/track", json.dumps(body).encode(), self._key))
            answers += asyncio.run(load.paced(self._stand.port, requests, self._per_s))

    def _sample(self, most: dict[str, int], done: threading.Event) -> None:
        while not done.wait(0.2):
            for kind, size in self._memory().items():
                most[kind] = max(most.get(kind, 0), size)

    def _memory(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for process in self._stand.processes():
            try:
                title = " ".join(process.cmdline())
                kind = next(
                    (k for part, k in (("ShardActor:shard-0", "shard-0"), ("ShardActor:shard-1", "shard-1"),
                                       ("ServeReplica:gateway", "gateway"), ("actors.jobs", "workers"),
                                       ("actors.simulation.process", "workers")) if part in title), "",
                )  # fmt: skip
                if kind:
                    rss = process.memory_info().rss
                    found[kind] = found.get(kind, 0) + rss if kind == "workers" else max(found.get(kind, 0), rss)
            except psutil.Error:
                continue
        return found


def fill(tenant: Tenant, n_events: int, users: int = 1) -> None:
    """Events of one user, or of some in turn."""
    for first in range(0, n_events, BATCH):
        batch = [
            {
                "type": "track",
                "userId": f"u-{at % users}",
                "event": "Report Exported",
                "messageId": new_id("m"),
                "properties": {"number": at, "text": "lorem ipsum dolor sit amet " * 10},
            }
            for at in range(first, min(n_events, first + BATCH))
        ]
        while True:
            answer = tenant.api.post("/v1/batch", json={"batch": batch}, auth=(tenant.write_key, ""))
            if answer.status_code == 200:
                break
            time.sleep(0.2)


def export(tenant: Tenant) -> dict[str, Any]:
    """In a process of its own, or this one's events would wait for its interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT, f"{tenant.stand.url}/v1/users/u-0/export", tenant.secret_key],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


_EXPORT = """
import json, sys, time, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
began = time.monotonic()
try:
    answer = urllib.request.urlopen(request, timeout=600)
except urllib.error.HTTPError as error:
    answer = error
first = answer.read1(65536)
first_byte_s, size, events, kept = time.monotonic() - began, len(first), first.count(b'"sent":'), first[-6:]
while piece := answer.read(1 << 16):
    size += len(piece)
    events += (kept + piece).count(b'"sent":')
    kept = piece[-6:]
print(json.dumps({
    "status": answer.status, "retry_after": answer.headers.get("retry-after"), "first_byte_s": round(first_byte_s, 3),
    "total_s": round(time.monotonic() - began, 3), "mib": round(size / 2**20, 1), "events": events,
    "whole": kept.endswith(b"}"),
}))
"""


def cancelled(tenant: Tenant) -> dict[str, Any]:
    """Callers who go away after a second."""
    gone = 0
    for _ in range(5):
        try:
            with tenant.api.stream("GET", "/v1/users/u-0/export", timeout=1.0) as answer:
                next(answer.iter_bytes())
        except httpx.TimeoutException:
            gone += 1
    return {"gone_before_the_first_byte": gone}


def unknown_decisions(tenant: Tenant) -> dict[str, Any]:
    times = []
    statuses = []
    for number in range(20):
        began = time.monotonic()
        statuses.append(tenant.api.get(f"/v1/decisions/dec_{number:026d}", timeout=120).status_code)
        times.append(time.monotonic() - began)
    return {"statuses": sorted(set(statuses)), "first_s": round(times[0], 3), "median_s": round(sorted(times)[10], 4)}


def status_of(tenant: Tenant, path: str) -> dict[str, Any]:
    began = time.monotonic()
    answer = tenant.api.get(path, timeout=600)
    return {"status": answer.status_code, "s": round(time.monotonic() - began, 3)}


def at_once(n: int, call: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def simulations(heavy: Tenant, light: Tenant) -> dict[str, Any]:
    """Five of one tenant, then one of another: how long the other's takes."""
    path = f"/v1/campaigns/{CAMPAIGN}"
    body = {"definition": definition({"event": "Seen"})}
    begun = [heavy.api.post(f"{path}/simulate", json=body, timeout=120).status_code for _ in range(5)]
    began = time.monotonic()
    answer = light.api.post(f"{path}/simulate", json=body, timeout=120)
    found: dict[str, Any] = {"heavy": begun, "light": answer.status_code}
    if answer.status_code in (200, 201, 202):
        while time.monotonic() - began < 600:
            status = light.api.get(f"{path}/simulations/{answer.json()['id']}").json()["status"]
            if status != "running":
                return found | {"light_ended": status, "light_s": round(time.monotonic() - began, 1)}
            time.sleep(0.5)
    return found


def writes(tenant: Tenant, seconds: float) -> dict[str, Any]:
    """Segments published one after the other."""
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        body = {"predicate": {"event": "Report Exported", "op": "gte", "count": n + 1, "days": 7}}
        tenant.api.put("/v1/segments/often", json=body).raise_for_status()
        n += 1
    return {"writes_per_s": round(n / (time.monotonic() - began), 1)}


if __name__ == "__main__":
    main()
