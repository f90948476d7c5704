"""What connections that say little cost others: p99 of single events with and without 500 of them, in turns.

An installation of its own. The load sends single events with a key, each kept to its time whatever the answers take;
latency counts from when a request was due. In turns with quiet times of the same length, `--connections` others, from
addresses of their own, say nothing; say nothing after a request was answered; send their head a byte a second; send a
body of 100 KB a byte a second, to the Tracking API and to the control API, with no key. A connection that the server
closes is opened again a second later. They are held by a process of their own. Every kind is next to a quiet time of the
same minute, and the median of the rounds counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import ours, report
from tests.benchmarks.load import http_request, paced
from tests.benchmarks.screen import say, table
from tests.support.stand import Stand, running

PER_ADDRESS = 125
"""Connections of one address: half of what it may have."""
QUIET = "none"
OPENING_S = 60.0
"""How long opening them all may take."""
_BODY = b"Host: bench\r\nContent-Length: 100000\r\n\r\n"
KINDS: dict[str, tuple[bytes, bool]] = {
    "silent from the start": (b"", False),
    "silent after an answer": (b"GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n", False),
    "a head a byte a second": (b"POST /v1/track HTTP/1.1\r\nHost: bench\r\nX-Slow: ", True),
    "an event a byte a second": (b"POST /v1/track HTTP/1.1\r\n" + _BODY + b"{", True),
    "a control call a byte a second": (b"POST /v1/campaigns HTTP/1.1\r\n" + _BODY + b"{", True),
}
"""What each sends when it is open, and whether it goes on, a byte a second."""


class Others:
    """So many connections of one kind."""

    def __init__(self, port: int, n: int, kind: str) -> None:
        self._port, self._n = port, n
        self._opening, self._goes_on = KINDS[kind]
        self.counts: Counter[str] = Counter()
        self._are_open = asyncio.Event()
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def hold(self) -> None:
        """Open them, say so on standard output, and hold them until standard input ends; then print what became of
        them."""
        self._tasks = [asyncio.ensure_future(self._keep(i)) for i in range(self._n)]
        await asyncio.wait_for(self._are_open.wait(), OPENING_S)
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        self._is_over = True  # a task whose read ends just now does not notice that it was cancelled
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        print(json.dumps(self.counts), flush=True)

    async def _keep(self, number: int) -> None:
        source = (f"127.0.1.{1 + number // PER_ADDRESS}", 0)
        while not self._is_over:
            with contextlib.suppress(ConnectionError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=source)
                self.counts["opened"] += 1
                if self.counts["opened"] >= self._n:
                    self._are_open.set()
                try:
                    writer.write(self._opening)
                    await self._stay(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(1.0)

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._is_over:
            try:
                piece = await asyncio.wait_for(reader.read(65_536), 1.0)
            except TimeoutError:
                if self._goes_on:
                    writer.write(b"x")
                continue
            if not piece:
                self.counts["closed by the server"] += 1
                return
            self.counts[piece[9:12].decode("latin-1")] += 1
            if self._goes_on:
                return  # it was refused


@contextlib.contextmanager
def others(port: int, n: int, kind: str) -> Iterator[dict[str, int]]:
    """So many connections of one kind inside the block; what became of them, filled when it ends."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_connections", "--hold", kind]
    command += ["--port", str(port), "--connections", str(n)]
    counts: dict[str, int] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdout is not None
        if holding.stdout.readline() != "open\n":
            raise RuntimeError(f"the connections could not be opened: {kind}")
        yield counts
        counts.update(json.loads(holding.communicate()[0]))


class Bench:
    def __init__(self, stand: Stand, options: Any) -> None:
        self._stand = stand
        self._options = options
        self._tenant = stand.tenant(f"busy-{uuid.uuid4().hex[:6]}")

    def run(self) -> list[dict[str, Any]]:
        for body in ours.bodies(5_000, 1_000):
            self._tenant.post("batch", body).raise_for_status()
        self._block(QUIET)  # warms what is warmed only once
        found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {kind: [] for kind in KINDS}
        for number in range(self._options.rounds):
            for kind in KINDS:
                say(f"round {number + 1}: {kind}")
                first, second = (QUIET, kind) if number % 2 == 0 else (kind, QUIET)
                blocks = {name: self._block(name) for name in (first, second)}
                found[kind].append((blocks[QUIET], blocks[kind]))
        return [self._summed(kind, pairs) for kind, pairs in found.items()]

    def _block(self, kind: str) -> dict[str, Any]:
        key = ours.authorization(self._tenant)
        requests = [
            http_request(
                "/v1/track",
                json.dumps({"userId": f"n{n % 500}", "event": "Swam", "messageId": uuid.uuid4().hex}).encode(),
                key,
            )
            for n in range(int(self._options.rate * self._options.seconds))
        ]
        quiet: contextlib.AbstractContextManager[dict[str, int]] = contextlib.nullcontext({})
        port, rate = self._stand.port, self._options.rate
        with quiet if kind == QUIET else others(port, self._options.connections, kind) as counts:
            answers = asyncio.run(paced(port, requests, rate))
        late = np.array([answer.acknowledged_at - answer.due_at for answer in answers]) * 1e3
        time.sleep(1.0)
        return {
            "p50": float(np.percentile(late, 50)),
            "p99": float(np.percentile(late, 99)),
            "refused": sum(answer.status != 200 for answer in answers),
            "counts": counts,
        }

    def _summed(self, kind: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        for _, beside in pairs:
            counts.update(beside["counts"])

        def median(which: int, figure: str) -> float:
            return round(statistics.median(pair[which][figure] for pair in pairs), 1)

        return {
            "connections": kind,
            "p50 without, ms": median(0, "p50"),
            "p50 with, ms": median(1, "p50"),
            "p99 without, ms": median(0, "p99"),
            "p99 with, ms": median(1, "p99"),
            "p99 ratio": round(statistics.median(with_["p99"] / without["p99"] for without, with_ in pairs), 2),
            "refused events": sum(block["refused"] for pair in pairs for block in pair),
            "others": dict(counts),
        }


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0, help="single events a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hold", metavar="KIND", help="only hold connections of one kind, until standard input ends")
    parser.add_argument("--port", type=int, default=8000, help="with --hold: of the server")
    options = parser.parse_args()
    if options.hold is not None:
        asyncio.run(Others(options.port, options.connections, options.hold).hold())
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as data, running(Path(data) / "data") as stand:
        found = Bench(stand, options).run()
    columns = [key for key in found[0] if key != "others"]
    print(table(tuple(columns), [tuple(one[key] for key in columns) for one in found]))
    setting = {"connections": options.connections, "rate": options.rate, "seconds": options.seconds}
    report.publish("connections", {"cases": found}, options.json, **setting, rounds=options.rounds)


if __name__ == "__main__":
    main()
