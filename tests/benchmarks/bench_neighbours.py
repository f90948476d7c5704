"""What one tenant's excess costs the others: their requests at a steady rate, alone and beside each kind of excess.

An installation of its own. The neighbour sends single events and asks for a user, each kept to its time whatever the
answers take; the other one opens connections and says nothing, has a user of `--events` events exported (one caller, and
eight), asks for decisions that nobody made, begins simulations, publishes templates without end, or, in the tier
`free`, sends events and calls at ten times its limit.
Latency counts from when a request was due. Memory is the largest seen, above what it was before.
"""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from tests.benchmarks import client, ours, processes, report
from tests.benchmarks.load import Acknowledged, http_request, paced
from tests.benchmarks.prebuilt import Requests
from tests.benchmarks.prebuilt import folder as folder_in_memory
from tests.benchmarks.screen import say, table
from tests.support.stand import Stand, running
from whisperer.settings import Settings

RATE = 100
"""Requests a second of the neighbour, half of them events."""
ELSEWHERE = "127.0.0.2"
"""The address that silent connections come from: another one than the neighbour's."""
N_SILENT = 154
LIMITED = "free"
"""The tier of the tenant that asks for ten times its limit."""
TIMES = 10
CAMPAIGN = {
    "trigger": {"event": "Exported"},
    "goal": {"event": "Shared", "window": "24h"},
    "arms": [{"id": "tips", "channel": "email", "template": "tips"}],
}
TEMPLATE = {"channel": "email", "locales": {"en": {"subject": "Hi", "text": "Try exports."}}}


class Bench:
    def __init__(self, stand: Stand, options: Any) -> None:
        self._stand = stand
        self._options = options
        self._neighbour, self._excess, self._limited = map(stand.tenant, ("neighbour", "excess", "limited"))
        with stand.operator() as operator:
            operator.put("/internal/tenants/limited/settings", json={"tier": LIMITED}).raise_for_status()
        self._stop = threading.Event()

    def run(self) -> list[dict[str, Any]]:
        options = self._options
        ours.publish_segments(self._neighbour)
        for tenant in (self._neighbour, self._excess):
            say(f"events of {tenant.name}")
            for body in ours.bodies(20_000, 1_000):
                tenant.post("batch", body).raise_for_status()
        say(f"one user of {options.events:,} events")
        for first in range(0, options.events, 500):
            events = [
                {
                    "type": "track",
                    "userId": "whale",
                    "event": "Swam",
                    "messageId": f"w{n}",
                    "properties": {"n": n, "note": "x" * 200},
                }
                for n in range(first, first + 500)
            ]
            self._excess.post("batch", {"batch": events}).raise_for_status()
        self._excess.api.put("/v1/templates/tips", json=TEMPLATE).raise_for_status()
        self._neighbour.api.put("/v1/templates/tips", json=TEMPLATE).raise_for_status()
        for tenant in (self._excess, self._neighbour):
            tenant.api.put("/v1/campaigns/tips", json=CAMPAIGN).raise_for_status()
        self._beside("alone (the first time)", None)
        cases: dict[str, tuple[Callable[[], None], int] | None] = {
            "alone": None,
            f"{N_SILENT} silent connections": (self._silent, 1),
            "one export of a large user": (self._export, 1),
            "eight exports of a large user": (self._export, 8),
            "unknown decisions, four callers": (self._unknown_decision, 4),
            "five simulations": (self._simulate, 1),
            "templates published without end": (self._publish, 2),
            "events at ten times the limit": (self._too_many_events, 1),
            "calls at ten times the limit": (self._too_many_calls, 1),
            "alone again": None,
        }
        found = []
        for name, excess in cases.items():
            if options.only and not any(part in name for part in options.only):
                continue
            found.append(self._beside(name, excess))
        return found

    def _beside(self, name: str, excess: tuple[Callable[[], None], int] | None) -> dict[str, Any]:
        say(name)
        time.sleep(2)
        self._stop.clear()
        self.counts: Counter[str] = Counter()
        callers = []
        if excess is not None:
            what, n = excess
            callers = [threading.Thread(target=self._repeat, args=(what,), daemon=True) for _ in range(n)]
        with self._memory() as grown:
            for caller in callers:
                caller.start()
            time.sleep(1.0 if callers else 0.0)
            answers = asyncio.run(self._load())
            self._stop.set()
            for caller in callers:
                caller.join(timeout=120)
        late = np.array([answer.acknowledged_at - answer.due_at for answer in answers]) * 1e3
        statuses = Counter(answer.status for answer in answers)
        return {
            "excess": name,
            "p50_ms": round(float(np.percentile(late, 50)), 1),
            "p99_ms": round(float(np.percentile(late, 99)), 1),
            "max_ms": round(float(late.max()), 1),
            "refused": sum(n for status, n in statuses.items() if status >= 400),
            "of": len(answers),
            "shards_mib": round(grown.get("shards", 0) / 2**20),
            "gateway_mib": round(grown.get("gateway", 0) / 2**20),
            "excess_calls": dict(self.counts),
        }

    def _repeat(self, what: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                what()
            except httpx.HTTPError as error:
                self.counts[type(error).__name__] += 1

    async def _load(self) -> list[Acknowledged]:
        key = ours.authorization(self._neighbour)
        bearer = f"Bearer {self._neighbour.secret_key}"
        requests = []
        for n in range(int(RATE * self._options.seconds)):
            if n % 2:
                event = {"type": "track", "userId": f"n{n % 500}", "event": "Swam", "messageId": uuid.uuid4().hex}
                requests.append(http_request("/v1/track", json.dumps(event).encode(), key))
            else:
                requests.append(f"GET /v1/segments HTTP/1.1\r\nHost: bench\r\nAuthorization: {bearer}\r\n\r\n".encode())
        return await paced(self._stand.port, requests, RATE)

    @contextmanager
    def _memory(self) -> Iterator[dict[str, int]]:
        """Growth of the largest process of each kind, filled when the block ends."""
        before = self._largest()
        most: dict[str, int] = {}
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.2):
                for kind, rss in self._largest().items():
                    most[kind] = max(most.get(kind, 0), rss)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        grown: dict[str, int] = {}
        try:
            yield grown
        finally:
            ended.set()
            thread.join()
            grown.update({kind: rss - before.get(kind, rss) for kind, rss in most.items()})

    def _largest(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for process in self._stand.processes("ray::"):
            try:
                kind = processes.kind_of(process.cmdline()[0])
                found[kind] = max(found.get(kind, 0), process.memory_info().rss)
            except (psutil.Error, IndexError):
                continue
        return found

    # -- kinds of excess ------------------------------------------------------------------------------------------

    def _silent(self) -> None:
        head = b"POST /v1/batch HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 499999\r\n\r\n"
        held = []
        for _ in range(N_SILENT):
            one = socket.create_connection(("127.0.0.1", self._stand.port), source_address=(ELSEWHERE, 0))
            one.sendall(head)
            held.append(one)
        self.counts["opened"] += len(held)
        began = time.monotonic()
        while not self._stop.is_set() and time.monotonic() - began < 10:
            time.sleep(0.2)
        for one in held:
            one.close()

    def _get(self, path: str) -> int:
        headers = {"Authorization": f"Bearer {self._excess.secret_key}"}
        n_bytes = 0
        with httpx.stream("GET", f"{self._stand.url}{path}", headers=headers, timeout=120) as answer:
            for piece in answer.iter_raw():
                n_bytes += len(piece)
            self.counts[str(answer.status_code)] += 1
        return n_bytes

    def _export(self) -> None:
        self.counts["MB"] += round(self._get("/v1/users/whale/export") / 1e6)

    def _unknown_decision(self) -> None:
        self._get(f"/v1/decisions/dec_{uuid.uuid4().hex}")

    def _simulate(self) -> None:
        """Five of the tenant's, then one of the neighbour's: which is done first?"""
        begun = []
        for tenant in [self._excess] * 5 + [self._neighbour]:
            answer = tenant.api.post("/v1/campaigns/tips/simulate", json={"days": 1})
            self.counts[f"{tenant.name} {answer.status_code}"] += 1
            if answer.status_code == 202:
                begun.append((tenant, answer.json()["id"]))
        done: list[str] = []
        while begun and not self._stop.is_set():
            for tenant, one in list(begun):
                shown = tenant.api.get(f"/v1/campaigns/tips/simulations/{one}").json()
                if shown["status"] in ("done", "failed"):
                    begun.remove((tenant, one))
                    done.append(tenant.name)
                    if tenant is self._neighbour:
                        self.counts[f"neighbour's was done as number {len(done)}"] += 1
            time.sleep(0.1)

    def _too_many_events(self) -> None:
        event = b'{"batch":[{"type":"track","userId":"u","event":"Swam"}]}'
        request = http_request("/v1/batch", event, ours.authorization(self._limited))
        self._ask_too_often(request, Settings().tier_free.tenant_requests_per_s)

    def _too_many_calls(self) -> None:
        head = f"Host: bench\r\nAuthorization: Bearer {self._limited.secret_key}\r\n\r\n"
        request = f"GET /v1/segments HTTP/1.1\r\n{head}".encode()
        self._ask_too_often(request, Settings().tier_free.tenant_calls_per_s)

    def _ask_too_often(self, request: bytes, limit_per_s: int) -> None:
        with folder_in_memory() as folder:
            path = Path(folder) / "requests"
            Requests.write(path, [request])
            seconds = self._options.seconds + 3
            found = client.load(path, self._stand.port, 32, seconds, TIMES * limit_per_s, again=True)
        self.counts["asked per s"] = round(found["taken"] / found["seconds"])
        self.counts["admitted per s"] = round((found["answered"] - found["refused"]) / found["seconds"])

    def _publish(self) -> None:
        name = f"t{threading.get_ident() % 1000}"
        answer = self._excess.api.put(f"/v1/templates/{name}", json=TEMPLATE)
        self.counts[str(answer.status_code)] += 1


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each case")
    parser.add_argument("--events", type=int, default=150_000, help="of the user that is exported")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE", help="these cases, by a part of their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as data, running(Path(data) / "data") as stand:
        found = Bench(stand, options).run()
    columns = [key for key in found[0] if key != "excess_calls"]
    print(table(tuple(columns), [tuple(one[key] for key in columns) for one in found]))
    report.publish("neighbours", {"cases": found}, options.json, rate=RATE, events=options.events)


if __name__ == "__main__":
    main()
