"""kill -9 in turn of a shard, decisions, content, delivery and learner under triggers: lost, doubled, time to serve again.

Of every trigger that was acknowledged there must be one candidacy, of every decision at most one message at the sink.
Time to serve again is from the kill until a user who is triggered then has the message.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.faults.triggers import Triggers, account, reaches
from tests.support.campaigning import launch, people
from tests.support.stand import Stand, running

CAMPAIGN, EVENT = "welcome", "Joined"
TARGETS = ("shard", "decisions", "content", "delivery", "learner")


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="triggers per second")
    parser.add_argument("--users", type=int, default=2_000)
    options = parser.parse_args()
    again_s: dict[str, list[float]] = {target: [] for target in TARGETS}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder)) as stand:
        tenant = stand.tenant("kills")
        launch(tenant, CAMPAIGN, {"event": EVENT}, window_s=86_400)
        for first in range(0, options.users, 100):
            people(tenant, 100, f"user-{first}")
        users = [f"user-{first}-{n}" for first in range(0, options.users, 100) for n in range(100)]
        probes = people(tenant, 12, "probe")
        n_probed = reaches(tenant, CAMPAIGN, EVENT, probes)[1]
        with Triggers(tenant, EVENT, users, options.rate) as triggers:
            for round_ in range(options.rounds):
                target = TARGETS[round_ % len(TARGETS)]
                began = time.monotonic()
                kill(stand, target, round_ // len(TARGETS))
                n_probed += reaches(tenant, CAMPAIGN, EVENT, probes)[1]
                again_s[target].append(time.monotonic() - began)
        found = account(tenant, CAMPAIGN, triggers.n_acknowledged + n_probed)
        tenant.close()
    report.publish(
        "loop_kills",
        {
            "rounds": options.rounds,
            "acknowledged": triggers.n_acknowledged + n_probed,
            **found,
            "failed_requests_resent": triggers.n_failed_requests,
            "serves_again_s": {target: spread(seconds) for target, seconds in again_s.items() if seconds},
        },
        options.json,
        durability="fdatasync before 2xx, file journal; the sink commits to SQLite's WAL",
        shards=2,
        rate_per_s=options.rate,
    )


def kill(stand: Stand, target: str, round_: int) -> None:
    if target == "shard":
        stand.kill_shard(round_ % stand.shards)
    else:
        stand.kill("ray::Learner" if target == "learner" else f"ray::ServeReplica:{target}")


def spread(seconds: list[float]) -> dict[str, Any]:
    return {"median": round(statistics.median(seconds), 2), "worst": round(max(seconds), 2)}


if __name__ == "__main__":
    main()
