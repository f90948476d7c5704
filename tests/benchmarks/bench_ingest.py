"""Durable events per second over HTTP: batches of 500 and single events, beside a Serve no-op taking the same bodies.

Starts an installation of its own, sends prebuilt Segment batches with new message ids from this process (the load
generator shares the machine), checks that everything acknowledged was counted, and states what it cost.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks import load, report
from tests.benchmarks.serve_apps import deploy_beside
from tests.stand import Stand, Tenant, running
from training.simulator import load_batches

BATCH = 500


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--events", type=int, default=600_000, help="events in batches")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each single-event run")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--segments", type=int, default=3, help="published segments that stay on while measuring")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), shards=options.shards) as stand:
        deploy_beside(stand, "noop", "tests.benchmarks.noop_app:build", "/noop")
        tenant = stand.tenant("bench")
        _publish_segments(tenant, options.segments)
        figures = measure(stand, tenant, options)
    report.publish(
        "ingest",
        figures,
        options.json,
        payload=f"Segment batches of {BATCH}, about 450 bytes an event, every messageId new",
        durability="fdatasync before 2xx, group commit, file journal",
        load_generator="in this process, same machine",
        shards=options.shards,
        segments=options.segments,
    )


def measure(stand: Stand, tenant: Tenant, options: Any) -> dict[str, Any]:
    key = "Basic " + base64.b64encode(f"{tenant.write_key}:".encode()).decode()
    warm = list(load_batches(1, 50_000, BATCH, n_users=options.users))
    bodies = list(load_batches(2, options.events, BATCH, n_users=options.users))
    singles = [
        json.dumps({**event, "messageId": f"s{n}"}).encode()
        for n, event in enumerate(chain.from_iterable(json.loads(body)["batch"] for body in warm[:40]))
        if event["type"] == "track"
    ]
    figures: dict[str, Any] = {"bytes_per_event": round(sum(map(len, bodies)) / options.events)}
    asyncio.run(load.run(stand.port, (load.http_request("/v1/batch", b, key) for b in warm), options.connections))
    noop = asyncio.run(
        load.run(stand.port, (load.http_request("/noop/x", b, key) for b in bodies[:400]), options.connections)
    )
    figures["noop_batches"] = {"batches_per_s": round(400 / noop.seconds), **noop.percentiles_ms()}
    before, cpu = stand.settled(), _cpu(stand)
    requests = [load.http_request("/v1/batch", body, key) for body in bodies]
    del bodies
    ours = asyncio.run(load.run(stand.port, iter(requests), options.connections))
    spent = {name: after - cpu.get(name, 0.0) for name, after in _cpu(stand).items()}
    after = stand.settled()
    counted = _accepted(after) - _accepted(before)
    figures["batches"] = {
        "events_per_s": round(options.events / ours.seconds),
        "statuses": dict(ours.statuses),
        **ours.percentiles_ms(),
        "acknowledged": ours.statuses[200] * BATCH,
        "counted": counted,
        "ratio_to_noop": round((len(requests) / ours.seconds) / (400 / noop.seconds), 3),
        "cpu_us_per_event": {name: round(s / options.events * 1e6, 2) for name, s in sorted(spent.items()) if s > 0.05},
        "commits": {
            name: sum(s["commit"][name] for s in after["shards"]) - sum(s["commit"][name] for s in before["shards"])
            for name in ("groups", "bytes", "sync_s", "apply_s")
        },
    }
    del requests
    users = after["tenants"][tenant.name]["users"]
    figures["memory"] = {
        "users": users,
        "bytes_a_user": {n: round(b / users) for n, b in after["tenants"][tenant.name]["bytes"].items()},
        "dedup_bytes_an_id": round(
            sum(s["dedup_bytes"] for s in after["shards"]) / max(1, sum(s["dedup_ids"] for s in after["shards"])), 1
        ),
        "shard_rss_bytes": [s["rss_bytes"] for s in after["shards"]],
    }
    for name, path in (("noop_single", "/noop/x"), ("single", "/v1/track")):
        numbered = (load.http_request(path, body, key) for body in singles)
        run = asyncio.run(load.run(stand.port, numbered, 32, options.seconds))
        figures[name] = {
            "requests_per_s": round(sum(run.statuses.values()) / run.seconds),
            "statuses": dict(run.statuses),
            **run.percentiles_ms(),
        }
    figures["single"]["ratio_to_noop"] = round(
        figures["single"]["requests_per_s"] / figures["noop_single"]["requests_per_s"], 3
    )
    return figures


def _publish_segments(tenant: Tenant, n: int) -> None:
    predicates = [
        {"event": "Feature Used", "op": "gte", "count": 3, "days": 7},
        {"all": [{"trait": "plan", "op": "eq", "value": "pro"}, {"feature": "events_30d", "op": "gte", "value": 5}]},
        {"seen": "not_within", "days": 14},
    ]
    for number in range(n):
        answer = tenant.api.put(f"/v1/segments/s{number}", json={"predicate": predicates[number % 3]})
        answer.raise_for_status()


def _accepted(status: dict[str, Any]) -> int:
    return sum(tenant["events_accepted"] for tenant in status["tenants"].values())


def _cpu(stand: Stand) -> dict[str, float]:
    """CPU seconds so far by kind of process of this installation, and of this process."""
    record = json.loads((stand.data_dir / "installation.json").read_bytes())
    spent: dict[str, float] = {}
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        try:
            mine = process.pid == psutil.Process().pid
            if not mine and process.environ().get("WHISPERER_INSTALLATION") != record["id"]:
                continue
            times = process.cpu_times()
            name = "load generator" if mine else _kind(process.info["cmdline"] or [process.info["name"]])
            spent[name] = spent.get(name, 0.0) + times.user + times.system
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return spent


def _kind(command: list[str]) -> str:
    first = command[0]
    for part in ("ShardActor", "Gateway", "Noop", "haproxy", "raylet", "gcs_server", "Directory"):
        if part.lower() in first.lower():
            return part
    return "rest of Ray"


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"took {time.monotonic() - began:.0f} s")
