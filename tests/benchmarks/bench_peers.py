"""Ours beside what one would build otherwise, same bodies, same minutes, same load generator.

FastAPI + uvicorn -> Redis Streams (`appendfsync always`, one pipeline of XADDs a request), and bare Ray Serve with the
default proxy and one actor call an event (not durable). One after another; each has the machine to itself. Prints ratios.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks import generator, ours, processes, report
from tests.benchmarks.generator import Load
from tests.benchmarks.ours import BATCH
from tests.benchmarks.prebuilt import Requests
from tests.benchmarks.prebuilt import folder as folder_in_memory
from tests.benchmarks.screen import say, table
from tests.support import redis_stand
from tests.support.stand import ROOT, free_port, running, until

START_TIMEOUT_S = 120.0
FIRST_EVENTS = 40_000
RAY_CONNECTIONS = 4
REDIS, RAY, OURS = "FastAPI, Redis Streams", "Ray Serve, an actor call an event", "User Whisperer"


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=("redis", "ray", "ours"), nargs="*", default=["redis", "ray", "ours"])
    options = parser.parse_args()
    runs = {"redis": (REDIS, redis_streams), "ray": (RAY, bare_ray), "ours": (OURS, whisperer)}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as data, folder_in_memory() as requests:
        for short in options.only:
            name, run = runs[short]
            say(name)
            figures[name] = run(Path(data) / short, Path(requests), options)
            say(f"{name}: {figures[name]}")
    mine = figures.get(OURS)
    for name, found in figures.items():
        if mine and name != OURS and "events_per_s" in found:
            found["ours_over_it"] = round(mine["events_per_s"] / found["events_per_s"], 1)
            found["its_cpu_over_ours"] = round(found["cpu_us_per_event"] / mine["cpu_us_per_event"], 1)
    columns = ("events_per_s", "p50_ms", "p99_ms", "cpu_us_per_event", "durable", "ours_over_it", "its_cpu_over_ours")
    rows = [[name, *(found.get(column, "") for column in columns)] for name, found in figures.items()]
    print(
        table(("", "events/s", "p50 ms", "p99 ms", "CPU us/event", "durable", "ours over it", "its CPU/ours"), rows),
        "\n",
    )
    report.publish(
        "peers",
        figures,
        options.json,
        payload=f"Segment batches of {BATCH}, every messageId new; {options.connections} connections",
        durability="as stated by row; ours: fdatasync before 2xx, dedup, features and three segments on",
        load_generator=f"{generator.name()}, same machine",
    )


def whisperer(folder: Path, requests: Path, options: argparse.Namespace) -> dict[str, Any]:
    with running(folder, settings={"SNAPSHOTS_INTERVAL_S": 86_400}) as stand:
        tenant = stand.tenant("bench")
        ours.publish_segments(tenant)
        key = ours.authorization(tenant)
        load, cpu_s = _loaded(stand.port, key, requests, options, lambda: sum(processes.cpu_seconds(stand).values()))
        counted = stand.settled()["tenants"][tenant.name]
    assert counted["events_duplicate"] == 0, counted
    return _figures(load, cpu_s, "yes")


def redis_streams(folder: Path, requests: Path, options: argparse.Namespace) -> dict[str, Any]:
    server = redis_stand.program()
    if server is None:
        return {"left_out": "there is no Redis on this machine"}
    folder.mkdir()
    redis_port, port = free_port(), free_port()
    kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder)]
    uvicorn = [sys.executable, "-m", "uvicorn", "tests.benchmarks.peers.redis_gateway:app", "--port", str(port)]
    with (
        _program([server, "--port", str(redis_port), "--bind", "127.0.0.1", *kept]) as redis,
        _program([*uvicorn, "--no-access-log", "--log-level", "warning"], PEER_REDIS_PORT=redis_port) as gateway,
    ):
        _wait(port)
        load, cpu_s = _loaded(port, "none", requests, options, lambda: _cpu(redis.pid) + _cpu(gateway.pid))
    return _figures(load, cpu_s, "yes")


def bare_ray(folder: Path, requests: Path, options: argparse.Namespace) -> dict[str, Any]:
    port = free_port()
    with _program([sys.executable, "-m", "tests.benchmarks.peers.ray_gateway", str(port)]) as driver:
        _wait(port)
        # Few connections: each holds 500 calls, and all of them would be answered only after many seconds.
        options = argparse.Namespace(**(vars(options) | {"connections": min(RAY_CONNECTIONS, options.connections)}))
        load, cpu_s = _loaded(port, "none", requests, options, lambda: _cpu(driver.pid))
    return _figures(load, cpu_s, "no")


def _loaded(
    port: int, key: str, folder: Path, options: argparse.Namespace, cpu: Callable[[], float]
) -> tuple[Load, float]:
    """A short run to warm up and to see how many requests to build, then the one that counts; and its CPU."""

    def send(n_events: int, seconds: float) -> Load:
        requests: Requests = ours.batches(folder / "batches", key, n_events, options.users)
        return generator.saturate(requests, port, options.connections, seconds)

    first = send(FIRST_EVENTS, 3.0)
    # What comes after the first requests is faster by as much as there was to compile and to load.
    n_events = max(FIRST_EVENTS, round(first.per_s * BATCH * options.seconds * 3))
    before = cpu()
    found = send(n_events, options.seconds)
    if not found.acknowledged:
        raise AssertionError(f"nothing was acknowledged within {options.seconds:g} s: give more --seconds")
    return found, cpu() - before


def _figures(load: Load, cpu_s: float, durable: str) -> dict[str, Any]:
    return {
        "events_per_s": round(load.per_s * BATCH),
        **load.latency(),
        "cpu_us_per_event": round(cpu_s / max(1, load.acknowledged * BATCH) * 1e6, 2),
        "load_generator_cpu_us_per_event": round(load.generator_cpu_s / max(1, load.acknowledged * BATCH) * 1e6, 2),
        "durable": durable,
        "trouble": load.trouble(),
    }


@contextmanager
def _program(command: list[str], **environment: Any) -> Iterator[psutil.Process]:
    """A program of its own session in the background; at the end its input closes, and after a while it is killed."""
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {name: str(value) for name, value in environment.items()},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield psutil.Process(started.pid)
        finally:
            _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    family = [psutil.Process(started.pid), *_children(started.pid)] if started.poll() is None else []
    if started.stdin is not None:
        started.stdin.close()
    if not any("ray_gateway" in argument for argument in started.args):  # that one ends with its input
        started.terminate()
    try:
        started.wait(60)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _cpu(pid: int) -> float:
    """CPU seconds of a process and all below it."""
    spent = 0.0
    for process in [psutil.Process(pid), *_children(pid)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system
    return spent


def _wait(port: int) -> None:
    body = {"batch": [{"type": "track", "event": "e", "messageId": "m", "userId": "u"}]}

    def answers() -> bool:
        try:
            return httpx.post(f"http://127.0.0.1:{port}/v1/batch", json=body, timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, f"an answer on port {port}", START_TIMEOUT_S)


if __name__ == "__main__":
    began = time.monotonic()
    main()
    say(f"took {time.monotonic() - began:.0f} s")
