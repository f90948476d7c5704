"""Decisions per second over HTTP: single questions on 32 connections, and batches of 100; the messages are sent as well.

Each question is an occasion of its own. Users are many enough that nobody is asked about twice at once; who still has a
decision open would be refused, and those are counted apart.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from tests.benchmarks import load, report
from tests.campaigning import counts, experiment, launch, person, send
from tests.stand import Stand, Tenant, running, until

CAMPAIGN = "on-demand"
BATCH = 100


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="time of each run")
    parser.add_argument("--connections", type=int, default=32, help="of the single questions")
    parser.add_argument("--batch-connections", type=int, default=8)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), shards=options.shards) as stand:
        tenant = stand.tenant("asks")
        launch(tenant, CAMPAIGN, {"request": True}, window_s=86_400)
        experiment(tenant, holdout=0.05, uniform=0.05)
        users = [f"user-{number}" for number in range(options.users)]
        for first in range(0, len(users), BATCH):
            send(tenant, *(person(user, first + at) for at, user in enumerate(users[first : first + BATCH])))
        measure(stand, tenant, [[user] for user in users[:BATCH]], 4, float("inf"))  # loads code, makes connections
        figures["single"] = measure(stand, tenant, [[user] for user in users], options.connections, options.seconds)
        batches = [users[first : first + BATCH] for first in range(0, len(users), BATCH)]
        figures["batches"] = measure(stand, tenant, batches, options.batch_connections, options.seconds)
        tenant.close()
    report.publish(
        "asks",
        figures,
        options.json,
        payload=f"POST /v1/decisions, one user or {BATCH}; 5 e-mail arms, 5 % holdout, 5 % uniform; all are sent",
        durability="fdatasync of the candidacy and of the choice before the answer, file journal",
        load_generator="in this process, same machine",
        connections={"single": options.connections, "batches": options.batch_connections},
        shards=options.shards,
    )


def measure(stand: Stand, tenant: Tenant, groups: list[list[str]], connections: int, seconds: float) -> dict[str, Any]:
    """Ask about one group after the other, from the first again when all were asked about; once if time is unbounded."""
    before = counts(tenant, CAMPAIGN)
    key = f"Bearer {tenant.secret_key}"
    serial = f"{before['candidates']}"
    rounds = count() if seconds < float("inf") else range(1)

    def requests() -> Any:
        for round_ in rounds:
            for number, group in enumerate(groups):
                who = {"user_id": group[0]} if len(group) == 1 else {"user_ids": group}
                body = {"campaign": CAMPAIGN, "occurrence": f"{serial}-{round_}-{number}", **who}
                yield load.http_request("/v1/decisions", json.dumps(body).encode(), key)

    ours = asyncio.run(load.run(stand.port, requests(), connections, seconds))
    after = until(lambda: None if (c := counts(tenant, CAMPAIGN))["pending"] else c, "every message to be sent", 300)
    n = after["candidates"] - before["candidates"]
    return {
        "decisions_per_s": round(n / ours.seconds),
        "requests_per_s": round(sum(ours.statuses.values()) / ours.seconds),
        "statuses": dict(ours.statuses),
        **ours.percentiles_ms(),
        "decisions": n,
        "sent": after["sent"] - before["sent"],
        "refused": {r: total - before["refused"].get(r, 0) for r, total in after["refused"].items()},
    }


if __name__ == "__main__":
    main()
