"""A load generator of our own, for where wrk is absent and for steady rates, which wrk does not keep.

Prebuilt requests over kept-alive connections, latencies kept. Used inside a process, or as one of its own that prints
the same line of JSON as `walk.lua`:

    python -m tests.benchmarks.load REQUESTS --port 8000 --connections 16 --seconds 10 [--per-s 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks.prebuilt import Walked

Bytes = bytes | memoryview


@dataclass
class Result:
    """What came back. Latencies in seconds, in order of completion."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def percentiles_ms(self) -> dict[str, float]:
        if not self.latencies:
            return {}
        values = np.percentile(self.latencies, [50, 95, 99]) * 1000
        return dict(zip(("p50_ms", "p95_ms", "p99_ms"), (round(float(v), 2) for v in values), strict=True))


class _Connection(asyncio.Protocol):
    """One request at a time; the answer's status is all that is read of it."""

    def __init__(self, requests: Iterator[Bytes], result: Result, done: asyncio.Future[None], until: float) -> None:
        self._requests = requests
        self._result = result
        self._done = done
        self._until = until
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        marker = head.lower().find(b"content-length:")
        length = int(head[marker + 15 :].split(b"\r\n", 1)[0]) if marker >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = b""
        self._result.statuses[int(head[9:12])] += 1
        self._result.latencies.append(time.perf_counter() - self._sent_at)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None) if time.perf_counter() < self._until else None
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def http_request(path: str, body: bytes, authorization: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(port: int, requests: Iterator[Bytes], connections: int, seconds: float = float("inf")) -> Result:
    """Send requests over so many connections until they are used up or the time is over."""
    result = Result()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    waiting = []
    for _ in range(connections):
        done = loop.create_future()
        waiting.append(done)
        await loop.create_connection(
            lambda done=done: _Connection(requests, result, done, began + seconds), "127.0.0.1", port
        )
    await asyncio.gather(*waiting)
    result.seconds = time.perf_counter() - began
    return result


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One request of :func:`paced`. Seconds since 1970; ``due_at`` is when it should have been sent."""

    due_at: float
    acknowledged_at: float
    status: int


async def paced(port: int, requests: Sequence[Bytes], per_s: float, connections: int = 16) -> list[Acknowledged]:
    """Send requests at a steady rate, whatever the answers take; in order of the requests.

    A request that finds every connection busy is sent late, and its time counts from when it was due.
    """
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = time.time() + 0.1

    async def send(number: int, request: Bytes) -> Acknowledged:
        due_at = began + number / per_s
        await asyncio.sleep(max(0.0, due_at - time.time()))
        reader, writer = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        marker = head.lower().find(b"content-length:")
        await reader.readexactly(int(head[marker + 15 :].split(b"\r\n", 1)[0]) if marker >= 0 else 0)
        free.put_nowait((reader, writer))
        return Acknowledged(due_at, time.time(), int(head[9:12]))

    answers = await asyncio.gather(*(send(number, request) for number, request in enumerate(requests)))
    while not free.empty():
        free.get_nowait()[1].close()
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=Path, help="a file of tests/benchmarks/prebuilt.py")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--per-s", type=float, help="a steady rate of requests; without it as fast as answers come")
    options = parser.parse_args()
    requests = Walked(options.requests)
    if options.per_s is None:
        found = asyncio.run(run(options.port, iter(requests), options.connections, options.seconds))
    else:
        wanted = requests[: round(options.per_s * options.seconds)]
        answers = asyncio.run(paced(options.port, wanted, options.per_s, options.connections))
        found = Result(max(a.acknowledged_at for a in answers) - answers[0].due_at)
        found.statuses.update(a.status for a in answers)
        found.latencies += [a.acknowledged_at - a.due_at for a in answers]
    n = sum(found.statuses.values())
    line = {
        "seconds": found.seconds,
        "answered": n,
        "refused": sum(count for status, count in found.statuses.items() if status >= 400),
        "broken": 0,
        "timeouts": 0,
        "taken": n,
        **found.percentiles_ms(),
        "max_ms": round(max(found.latencies) * 1000, 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
