"""`python -m tests.faults.flood ...`: many connections at once, each sending one batch after the other.

A refused connection waits as Retry-After says, as SDKs do, or, with ``--impatient``, does not. Each has an address of its
own. It runs as a process of its own, so that it takes its processor time where a client would; what it was told goes to
a file as JSON (:class:`Told`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.stand import ROOT, Tenant

BATCH = 500
USERS = 20_000
_MARK = b"@@@@@@@@@@"
ANSWER_WITHIN_S = 60.0


@dataclass(slots=True)
class Told:
    """Requests by number. ``open`` were sent and never answered; nobody knows whether they are stored."""

    seconds: float = 0.0
    acknowledged: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    refused_without_retry_after: int = 0
    p99_ms: float = 0.0
    """Of acknowledged requests."""

    @property
    def events_per_s(self) -> float:
        return len(self.acknowledged) * BATCH / self.seconds

    @property
    def offered_per_s(self) -> float:
        return sum(self.statuses.values()) * BATCH / self.seconds


def flood(
    tenant: Tenant,
    folder: Path,
    *,
    prefix: str,
    connections: int,
    seconds: float,
    impatient: bool = False,
    events_per_s: float = 0.0,
) -> Told:
    """Run it, and wait for its end. ``events_per_s``: no more than that is sent; 0 for as much as is taken."""
    out = folder / f"{prefix}.json"
    command = [
        sys.executable, "-m", "tests.faults.flood",
        f"--port={tenant.stand.port}", f"--authorization={tenant.http.headers['authorization']}",
        f"--prefix={prefix}", f"--connections={connections}", f"--seconds={seconds}", f"--out={out}",
        f"--events-per-s={events_per_s}", *(["--impatient"] if impatient else []),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, timeout=seconds + 2 * ANSWER_WITHIN_S + 60)
    return Told(**json.loads(out.read_bytes()))


class _Flood:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._template = template(options.prefix)
        self._head = (
            f"POST /v1/batch HTTP/1.1\r\nHost: flood\r\nAuthorization: {options.authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self._template)}\r\n\r\n"
        ).encode()
        self._statuses: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._n_sent = 0
        self.told = Told()

    async def run(self) -> Told:
        began = time.monotonic()
        until = began + self._options.seconds
        await asyncio.gather(*(self._connection(_address(n), until) for n in range(self._options.connections)))
        self.told.seconds = self._options.seconds
        self.told.statuses = dict(self._statuses)
        self._latencies.sort()
        if self._latencies:
            self.told.p99_ms = round(self._latencies[int(len(self._latencies) * 0.99)] * 1000, 1)
        return self.told

    async def _connection(self, address: str, until: float) -> None:
        """One client: connects again whenever it is cut off."""
        pause_s = self._options.connections * BATCH / self._options.events_per_s if self._options.events_per_s else 0.0
        due = time.monotonic() + random.random() * pause_s
        while time.monotonic() < until:
            number = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._options.port, local_addr=(address, 0))
                try:
                    while time.monotonic() < until:
                        await asyncio.sleep(due - time.monotonic())
                        due = max(due + pause_s, time.monotonic() - pause_s)
                        self._n_sent += 1
                        number = self._n_sent
                        wait_s = await asyncio.wait_for(self._ask(reader, writer, number), ANSWER_WITHIN_S)
                        number = None
                        if not self._options.impatient:
                            await asyncio.sleep(min(wait_s, until - time.monotonic()))
                finally:
                    writer.close()
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self._statuses[type(error).__name__] += 1
                if number is not None:
                    self.told.open.append(number)
                await asyncio.sleep(0.05)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> float:
        """Send one request; for how long its answer asks to wait."""
        began = time.monotonic()
        writer.write(self._head)
        writer.write(self._template.replace(_MARK, b"%010d" % number))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        self._statuses[str(status)] += 1
        if status == 200:
            self.told.acknowledged.append(number)
            self._latencies.append(time.monotonic() - began)
            return 0.0
        retry_after = head.partition(b"retry-after:")[2].partition(b"\r\n")[0]
        if status != 429:
            self.told.open.append(number)  # a part of it may be stored: only a 200 is a promise
        if status in (429, 503) and not retry_after:
            self.told.refused_without_retry_after += 1
        if b"connection: close" in head:
            raise EOFError
        return float(retry_after or 0)


def _address(n: int) -> str:
    """Give each client an address of its own, as the clients of a crowd have: one address may have few connections."""
    return f"127.0.{1 + n // 250}.{1 + n % 250}"


def template(prefix: str) -> bytes:
    """A batch whose every messageId is `<prefix>-@@@@@@@@@@-<place>`."""
    events = [
        {
            "type": "track",
            "event": "Clicked",
            "userId": f"user-{(place * 7919) % USERS}",
            "messageId": f"{prefix}-{_MARK.decode()}-{place:03}",
            "properties": {"revenue": 1, "plan": "pro", "path": "/reports/weekly", "title": "Weekly report"},
            "context": {"library": {"name": "analytics-python", "version": "2.3.0"}},
        }
        for place in range(BATCH)
    ]
    return json.dumps({"batch": events}, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--authorization", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--impatient", action="store_true")
    parser.add_argument("--events-per-s", type=float, default=0.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    told = asyncio.run(_Flood(options).run())
    options.out.write_text(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
