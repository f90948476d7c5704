"""What the gateway costs a request: reads, writes and single events, beside a Serve no-op and bare FastAPI on uvicorn.

Starts an installation of its own, whose limits are on, and calls in turn, a few seconds each and round after round: a
read (one user, and one without its timeline), a write that stores nothing (an empty batch), a single event (durable), a control write (consent,
durable), each beside the Serve no-op with the same bytes; and bare FastAPI on uvicorn with the same read and write. A
ratio is of one round, and what is reported is the median of rounds, with the load of the machine. Then the same at 70 %
of what each could do, latencies from when a request was due. Last, the gateway with 1 to `--replicas` replicas, in steps
of the load: requests per second and CPU by process, from which docs/capacity.md reckons.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from cluster.launch import installation
from cluster.launch.serve_deploy import ServeDeployer
from tests.benchmarks import bare_fastapi, client, ours, processes, report
from tests.benchmarks.load import http_request
from tests.benchmarks.prebuilt import Requests
from tests.benchmarks.prebuilt import folder as folder_in_memory
from tests.benchmarks.screen import say, table
from tests.benchmarks.serve_apps import deploy_beside
from tests.support.stand import Stand, Tenant, free_port, running, until

SETTINGS = {
    "SNAPSHOTS_INTERVAL_S": 86_400,
    "LIMITS_TENANT_EVENTS_PER_S": 1_000_000,
    "LIMITS_KEY_REQUESTS_PER_S": 1_000_000,
}
"""Limits are judged for every request, and none is refused."""
USERS = 1_000
PART = 0.7
"""Of the peak, at which latencies are taken."""
STEPS = (0.25, 0.5, 0.7, 0.85, 1.0)
FIELDS = "?fields=traits,segments,scores,features"
CONSENT = b'{"channel":"email","purpose":"marketing","granted":true,"source":"bench"}'
EMPTY = b'{"batch":[]}'


@dataclass(slots=True)
class Kind:
    """One kind of request. ``beside`` names the floor with the same bytes; requests that may not be sent twice are
    made anew."""

    name: str
    make: Callable[[Path, int], Requests]
    beside: str | None = None
    is_new: bool = False
    port: int = 0
    rounds: list[dict[str, Any]] = field(default_factory=list)
    steady: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(one[name] for one in self.rounds)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-") as data, folder_in_memory() as requests:
        figures = Bench(Path(data) / "data", Path(requests), options).run()
    print(as_table(figures))
    report.publish(
        "gateway",
        figures,
        options.json,
        payload="a user of 1 KB read; an empty batch; single events as in the ingest benchmark; one consent",
        durability="single events and consent: fdatasync before 2xx, group commit, file journal; others store nothing",
        load_generator="tests/benchmarks/client.py, same machine, closed loop for peaks, open loop for latencies",
        connections=options.connections,
        seconds=options.seconds,
        rounds=options.rounds,
    )


def _options() -> Any:
    parser = report.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--replicas", type=int, default=4, help="up to so many in the step-load curve; 0 leaves it out")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="these kinds, and the no-op beside them")
    return parser.parse_args()


class Bench:
    def __init__(self, data_dir: Path, requests: Path, options: Any) -> None:
        self._data_dir = data_dir
        self._folder = requests
        self._options = options

    def run(self) -> dict[str, Any]:
        say("starting an installation")
        with running(self._data_dir, shards=2, settings=SETTINGS) as stand:
            deploy_beside(stand, "noop", "tests.benchmarks.noop_app:build", "/noop")
            tenant = stand.tenant("bench")
            self._secret, self._write = f"Bearer {tenant.secret_key}", ours.authorization(tenant)
            _make_users(tenant)
            with _bare(tenant) as bare:
                kinds = self._kinds(stand.port, bare.port)
                for kind in kinds:
                    self._run(stand, bare, kind, 1.0)  # warm, and checked
                for number in range(self._options.rounds):
                    say(f"round {number + 1} of {self._options.rounds}")
                    for kind in kinds:
                        kind.rounds.append(self._run(stand, bare, kind, self._options.seconds))
                say(f"at {PART:.0%} of the peaks")
                for _ in range(max(1, self._options.rounds // 2)):
                    for kind in kinds:
                        per_s = PART * kind.median("requests_per_s")
                        kind.steady.append(self._run(stand, bare, kind, self._options.seconds, per_s))
            figures = _figures(kinds)
            if self._options.replicas:
                chosen = [kind for kind in kinds if kind.name in ("read", "event")]
                figures["curve"] = [
                    row for n in range(1, self._options.replicas + 1) for row in self._curve(stand, n, chosen)
                ]
        return figures

    def _kinds(self, port: int, bare_port: int) -> list[Kind]:
        def get(prefix: str, authorization: str, query: str = "") -> Callable[[Path, int], Requests]:
            head = f"Host: bench\r\nAuthorization: {authorization}\r\n\r\n"
            return lambda path, _: Requests.write(
                path, (f"GET {prefix}/v1/users/u-{n}{query} HTTP/1.1\r\n{head}".encode() for n in range(USERS))
            )

        def post(route: str, body: bytes, authorization: str) -> Callable[[Path, int], Requests]:
            return lambda path, _: Requests.write(path, [http_request(route, body, authorization)])

        def consent(path: Path, _: int) -> Requests:
            routes = (f"/v1/users/u-{n}/consent" for n in range(USERS))
            return Requests.write(path, (http_request(route, CONSENT, self._secret) for route in routes))

        def events(path: Path, n: int) -> Requests:
            return ours.singles(path, self._write, n, USERS)

        kinds = [
            Kind("no-op, read", get("/noop", self._secret), port=port),
            Kind("read", get("", self._secret), "no-op, read", port=port),
            Kind("read, no timeline", get("", self._secret, FIELDS), "no-op, read", port=port),
            Kind("bare FastAPI, read", get("", self._secret), port=bare_port),
            Kind("no-op, write", post("/noop/v1/batch", EMPTY, self._write), port=port),
            Kind("write", post("/v1/batch", EMPTY, self._write), "no-op, write", port=port),
            Kind("bare FastAPI, write", post("/v1/batch", EMPTY, self._secret), port=bare_port),
            Kind("no-op, event", lambda p, _: ours.singles(p, self._write, 2_000, USERS, "/noop/v1/batch"), port=port),
            Kind("event", events, "no-op, event", is_new=True, port=port),
            Kind("consent", consent, "no-op, write", port=port),
        ]
        wanted = set(self._options.only or (kind.name for kind in kinds))
        wanted |= {kind.beside for kind in kinds if kind.name in wanted and kind.beside}
        return [kind for kind in kinds if kind.name in wanted]

    def _run(self, stand: Stand, bare: Bare, kind: Kind, seconds: float, per_s: float = 0.0) -> dict[str, Any]:
        path = self._folder / kind.name.replace(" ", "-")
        if kind.is_new or not path.exists():
            kind.make(path, round((per_s or 12_000) * seconds) + 1)
        cpu, load = processes.cpu_seconds(stand), os.getloadavg()[0]
        bare_cpu = bare.cpu_seconds()
        found = client.load(path, kind.port, self._options.connections, seconds, per_s, again=not kind.is_new)
        spent = processes.spent(cpu, processes.cpu_seconds(stand))
        if kind.port == bare.port:
            spent = {"bare FastAPI": bare.cpu_seconds() - bare_cpu}
        answered = max(1, found["answered"])
        wrong = found["refused"] + found["broken"] + found["timeouts"]
        return {
            "requests_per_s": (found["answered"] - found["refused"]) / found["seconds"],
            "cpu_us": {name: s / answered * 1e6 for name, s in spent.items()},
            "generator_cores": found["cpu_s"] / found["seconds"],
            "errors": wrong / max(1, found["taken"]),
            "load_average": load,
            "asked_per_s": per_s,
            **{name: found[name] for name in ("p50_ms", "p95_ms", "p99_ms")},
        }

    def _curve(self, stand: Stand, n_replicas: int, kinds: list[Kind]) -> Iterator[dict[str, Any]]:
        say(f"{n_replicas} replica(s)")
        _scale(stand, n_replicas)
        nothing = Bare(0, None)
        for kind in kinds:
            self._run(stand, nothing, kind, 1.0)
            peaks = [self._run(stand, nothing, kind, self._options.seconds) for _ in range(3)]
            peak = statistics.median(one["requests_per_s"] for one in peaks)
            for part in STEPS:
                run = self._run(stand, nothing, kind, self._options.seconds, part * peak)
                yield {"replicas": n_replicas, "kind": kind.name, "peak_per_s": round(peak), "part": part} | _rounded(
                    run
                )


@dataclass(slots=True)
class Bare:
    """Bare FastAPI's process."""

    port: int
    process: psutil.Process | None

    def cpu_seconds(self) -> float:
        if self.process is None:
            return 0.0
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def _bare(tenant: Tenant) -> Iterator[Bare]:
    port = free_port()
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.bare_fastapi:app", *options]
    key = f"Bearer {tenant.secret_key}"
    with subprocess.Popen(command, env=os.environ | {bare_fastapi.KEY_ENV: key}) as process:
        try:
            url, headers = f"http://127.0.0.1:{port}/v1/users/u", {"Authorization": key}
            until(lambda: _answers(url, headers), "bare FastAPI", 60.0)
            yield Bare(port, psutil.Process(process.pid))
        finally:
            process.terminate()


def _answers(url: str, headers: dict[str, str]) -> bool:
    try:
        return httpx.get(url, headers=headers).status_code == 200
    except httpx.HTTPError:
        return False


def _make_users(tenant: Tenant) -> None:
    for start in range(0, USERS, 250):
        events = [
            {"type": kind, "userId": f"u-{n}", "messageId": f"{kind}-{n}", **more}
            for n in range(start, start + 250)
            for kind, more in (
                ("identify", {"traits": {"plan": "team", "email": f"u-{n}@example.com"}}),
                ("track", {"event": "Order Completed", "properties": {"revenue": 12.5}}),
            )
        ]
        tenant.post("batch", {"batch": events}).raise_for_status()
    until(lambda: tenant.user(f"u-{USERS - 1}"), "the users")


def _scale(stand: Stand, n_replicas: int) -> None:
    whole = installation.load(stand.data_dir)
    assert whole.settings is not None
    gateway = msgspec.structs.replace(whole.settings.gateway, min_replicas=n_replicas, max_replicas=n_replicas)
    changed = msgspec.structs.replace(whole, settings=msgspec.structs.replace(whole.settings, gateway=gateway))
    with ServeDeployer(changed) as deployer:
        deployer.deploy(time.monotonic() + 300, lambda _: None)
    title = "ray::ServeReplica:gateway"
    until(lambda: len(stand.processes(title)) == n_replicas, f"{n_replicas} replicas", 120.0)
    time.sleep(3.0)  # HAProxy takes them in


def _figures(kinds: list[Kind]) -> dict[str, Any]:
    by_name = {kind.name: kind for kind in kinds}
    figures: dict[str, Any] = {}
    for kind in kinds:
        cpu = _medians([one["cpu_us"] for one in kind.rounds])
        found = {
            "requests_per_s": round(kind.median("requests_per_s")),
            "cpu_us_by_process": cpu,
            "requests_per_s_per_core": round(1e6 / max(1.0, sum(cpu.values()))),
            "errors": max(one["errors"] for one in kind.rounds + kind.steady),
            "generator_cores": round(kind.median("generator_cores"), 3),
            "load_average": round(kind.median("load_average"), 1),
            "at_70_percent": {
                name: round(statistics.median(one[name] for one in kind.steady), 2)
                for name in ("asked_per_s", "requests_per_s", "p50_ms", "p95_ms", "p99_ms")
            },
        }
        if kind.beside is not None:
            floor = by_name[kind.beside].rounds
            ratios = [
                mine["requests_per_s"] / other["requests_per_s"] for mine, other in zip(kind.rounds, floor, strict=True)
            ]
            found["ratio_to_noop"] = round(statistics.median(ratios), 3)
            found["ratios"] = [round(ratio, 3) for ratio in ratios]
        figures[kind.name] = found
    return figures


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Microseconds by process; what costs less than one is left out."""
    names = {name for one in rounds for name in one}
    found = {name: round(statistics.median(one.get(name, 0.0) for one in rounds), 1) for name in names}
    return dict(sorted(((name, us) for name, us in found.items() if us >= 1), key=lambda item: -item[1]))


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    found = {name: round(value, 4) for name, value in run.items() if not isinstance(value, dict)}
    return found | {"cpu_us_by_process": _medians([run["cpu_us"]])}


def as_table(figures: dict[str, Any]) -> str:
    rows = [
        [
            name,
            found["requests_per_s"],
            found.get("ratio_to_noop", ""),
            round(sum(found["cpu_us_by_process"].values())),
            found["cpu_us_by_process"].get("gateway") or next(iter(found["cpu_us_by_process"].values()), ""),
            found["requests_per_s_per_core"],
            found["at_70_percent"]["p95_ms"],
            f"{found['errors']:.2%}",
            found["generator_cores"],
            found["load_average"],
        ]
        for name, found in figures.items()
        if name != "curve"
    ]
    head = ("", "req/s", "of no-op", "CPU us", "of it, server", "req/s a core", "p95 ms at 70 %", "errors")
    parts = [table((*head, "generator, cores", "load"), rows)]
    if "curve" in figures:
        curve = [
            [
                row["replicas"],
                row["kind"],
                row["peak_per_s"],
                row["part"],
                round(row["requests_per_s"]),
                row["p95_ms"],
                round(sum(row["cpu_us_by_process"].values())),
                round(row["cpu_us_by_process"].get("gateway", 0)),
                round(row["cpu_us_by_process"].get("shards", 0)),
                round(row["cpu_us_by_process"].get("proxy", 0)),
            ]
            for row in figures["curve"]
        ]
        names = ("replicas", "", "peak/s", "step", "req/s", "p95 ms", "CPU us", "gateway", "shards", "proxy")
        parts.append(table(names, curve))
    return "\n\n".join((*parts, ""))


if __name__ == "__main__":
    began = time.monotonic()
    main()
    say(f"took {time.monotonic() - began:.0f} s")
