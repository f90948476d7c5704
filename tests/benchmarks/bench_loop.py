"""An acknowledged event to its message in the sink: latency at a steady rate, sends per second at saturation, memory.

Every event triggers a campaign for a user of its own, who is decided about, written a mail and sent it. Latency is from
the acknowledgement (and from when the event was due) to the moment the sink takes the message, by the clock of one
machine, which the load generator shares.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import load, report
from tests.benchmarks.bench_start import memory
from tests.support.campaigning import closed, experiment, launch, messages, person, send
from tests.support.stand import Stand, Tenant, running
from whisperer.decisions.decision import decision_id
from whisperer.ids import known_key

CAMPAIGN, EVENT = "welcome", "Joined"
SETTLE_S = 10.0
BATCH = 100


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="events per second of the steady run")
    parser.add_argument("--seconds", type=float, default=60.0, help="time of the steady run")
    parser.add_argument("--burst", type=int, default=20_000, help="events of the run at saturation")
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), shards=options.shards) as stand:
        time.sleep(SETTLE_S)
        figures: dict[str, Any] = {"memory_idle": memory(stand)}
        figures["steady"] = steady(stand, options.rate, round(options.rate * options.seconds))
        figures["saturation"] = saturation(stand, options.burst)
        time.sleep(SETTLE_S)
        figures["memory_after"] = memory(stand)
    report.publish(
        "loop",
        figures,
        options.json,
        payload="one track event a user; 5 e-mail arms of one template, 5 % holdout, 5 % uniform",
        durability="fdatasync before 2xx, file journal; the sink commits to SQLite's WAL",
        load_generator="in this process, same machine",
        rate_per_s=options.rate,
        shards=options.shards,
    )


def steady(stand: Stand, per_s: float, n: int) -> dict[str, Any]:
    tenant, users = _tenant(stand, "steady", n)
    _warm_up(tenant)
    key = "Basic " + base64.b64encode(f"{tenant.write_key}:".encode()).decode()
    requests = [load.http_request("/v1/track", event_of(user), key) for user in users]
    under_load: dict[str, Any] = {}
    look = threading.Timer(n / per_s / 2, lambda: under_load.update(memory(stand)))
    look.start()
    answers = asyncio.run(load.paced(stand.port, requests, per_s))
    look.join()
    counted = closed(tenant, CAMPAIGN, n + BATCH)
    told = {decision_id(tenant.id, known_key(u), CAMPAIGN, f"m-{u}"): a for u, a in zip(users, answers, strict=True)}
    taken = {m["decision_id"]: seconds_of(m["received_at"]) for m in all_messages(tenant) if m["decision_id"] in told}
    since_told = [at - told[decision].acknowledged_at for decision, at in taken.items()]
    since_due = [at - told[decision].due_at for decision, at in taken.items()]
    tenant.close()
    return {
        "events": n,
        "not_acknowledged": sum(a.status != 200 for a in answers),
        "messages": len(taken),
        "sent_and_no_send": counted["sent"] + counted["no_send"],
        "refused": counted["refused"],
        "acknowledged_ms": percentiles([a.acknowledged_at - a.due_at for a in answers]),
        "acknowledged_to_sink_ms": percentiles(since_told),
        "due_to_sink_ms": percentiles(since_due),
        "memory": under_load,
    }


def saturation(stand: Stand, n: int) -> dict[str, Any]:
    """Everything at once: what the loop does when it never waits for an event."""
    tenant, users = _tenant(stand, "burst", n)
    _warm_up(tenant)
    key = "Basic " + base64.b64encode(f"{tenant.write_key}:".encode()).decode()
    bodies = []
    for first in range(0, n, BATCH):
        events = [json.loads(event_of(user)) | {"type": "track"} for user in users[first : first + BATCH]]
        bodies.append(load.http_request("/v1/batch", json.dumps({"batch": events}).encode(), key))
    began = time.time()
    ours = asyncio.run(load.run(stand.port, iter(bodies), 16))
    counted = closed(tenant, CAMPAIGN, n + BATCH, timeout_s=600)
    told = {decision_id(tenant.id, known_key(u), CAMPAIGN, f"m-{u}") for u in users}
    taken = [seconds_of(m["received_at"]) for m in all_messages(tenant) if m["decision_id"] in told]
    tenant.close()
    return {
        "events": n,
        "acknowledged_in_s": round(ours.seconds, 2),
        "statuses": dict(ours.statuses),
        "messages": len(taken),
        "refused": counted["refused"],
        "last_message_after_s": round(max(taken) - began, 2),
        "sends_per_s": round(len(taken) / (max(taken) - began)),
        "candidates_per_s": round(n / (max(taken) - began)),
    }


def _tenant(stand: Stand, name: str, n: int) -> tuple[Tenant, list[str]]:
    """A tenant with its campaign and people, as a new installation has them."""
    tenant = stand.tenant(name)
    launch(tenant, CAMPAIGN, {"event": EVENT}, window_s=86_400)
    experiment(tenant, holdout=0.05, uniform=0.05)
    users = [f"user-{number}" for number in range(n)]
    for first in range(0, n, BATCH):
        send(tenant, *(person(user, first + at) for at, user in enumerate(users[first : first + BATCH])))
    return tenant, users


def _warm_up(tenant: Tenant) -> None:
    """The first calls load code and make connections."""
    users = [f"warm-{number}" for number in range(BATCH)]
    send(tenant, *(person(user, number) for number, user in enumerate(users)))
    send(tenant, *(json.loads(event_of(user)) | {"type": "track"} for user in users))
    closed(tenant, CAMPAIGN, BATCH)


def event_of(user: str) -> bytes:
    return json.dumps({"userId": user, "event": EVENT, "messageId": f"m-{user}", "properties": {"n": 1}}).encode()


def all_messages(tenant: Tenant) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := messages(tenant, after=found[-1]["serial"] if found else 0):
        found += page
    return found


def seconds_of(iso: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(iso).timestamp()


def percentiles(seconds: list[float]) -> dict[str, float]:
    values = np.percentile(seconds, [50, 95, 99, 100]) * 1000
    return dict(zip(("p50", "p95", "p99", "max"), (round(float(v), 1) for v in values), strict=True))


if __name__ == "__main__":
    main()
