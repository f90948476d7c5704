"""The load generator as a process of its own: wrk where the machine has it, else `load.py`.

What it cost is stated apart: it shares the machine with what it measures, but is not part of it.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.prebuilt import Requests

_SCRIPT = Path(__file__).with_name("walk.lua")
_GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator saw. Latencies of a steady rate count from when a request was due.

    ``answered`` with any status, ``refused`` of them with 4xx or 5xx; ``broken`` and ``timeouts`` had no answer;
    ``taken`` requests were sent, the last few of them perhaps without waiting for an answer.
    """

    seconds: float
    answered: int
    refused: int
    broken: int
    timeouts: int
    taken: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    generator: str
    generator_cpu_s: float

    @property
    def acknowledged(self) -> int:
        return self.answered - self.refused

    @property
    def per_s(self) -> float:
        """Requests acknowledged a second."""
        return self.acknowledged / self.seconds

    def latency(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 2) for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")}

    def trouble(self) -> dict[str, int]:
        """Whatever was not answered 2xx; empty when all is well."""
        return {name: n for name in ("refused", "broken", "timeouts") if (n := getattr(self, name))}


def name() -> str:
    return "wrk" if shutil.which("wrk") else "tests/benchmarks/load.py"


def saturate(requests: Requests, port: int, connections: int, seconds: float) -> Load:
    """As fast as answers come, until the time is over or the requests are used up."""
    if wrk := shutil.which("wrk"):
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", str(_SCRIPT)]
        return _run([wrk, *options, f"http://127.0.0.1:{port}/", "--", str(requests.path)], seconds, "wrk")
    return _run([*_own(requests, port, connections), "--seconds", str(seconds)], seconds, name())


def steady(requests: Requests, port: int, per_s: float, seconds: float, connections: int = 32) -> Load:
    """So many requests a second, whatever the answers take. Raises ValueError when there are too few of them."""
    if requests.n < round(per_s * seconds):
        raise ValueError(f"{requests.n} requests do not last {seconds:g} s at {per_s:g}/s")
    command = [*_own(requests, port, connections), "--seconds", str(seconds), "--per-s", str(per_s)]
    return _run(command, seconds, "tests/benchmarks/load.py")


def _own(requests: Requests, port: int, connections: int) -> list[str]:
    module = [sys.executable, "-m", "tests.benchmarks.load", str(requests.path)]
    return [*module, "--port", str(port), "--connections", str(connections)]


def _run(command: list[str], seconds: float, generator: str) -> Load:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_S)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{generator} failed ({done.returncode}): {done.stdout[-500:]} {done.stderr[-1500:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return Load(**found, generator=generator, generator_cpu_s=round(cpu_s, 3))
