"""kill -9 of shard actors in rounds under traffic: acknowledged, lost, doubled, and the time until the shard serves again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks import report
from tests.faults.traffic import Traffic, differences
from tests.support.stand import running


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder)) as stand:
        tenant = stand.tenant("kills")
        with Traffic(tenant, options.clients) as traffic:
            seconds = [stand.kill_shard(round_ % stand.shards) for round_ in range(options.rounds)]
        counts = tenant.counts()
        wrong = differences(tenant, traffic.acknowledged)
        tenant.close()
    report.publish(
        "kills",
        {
            "rounds": options.rounds,
            "acknowledged": traffic.n_events,
            "counted": counts["events_accepted"],
            "duplicates_dropped": counts["events_duplicate"],
            "lost": sum(max(0, told - counted) for told, counted in wrong.values()),
            "doubled": sum(max(0, counted - told) for told, counted in wrong.values()),
            "failed_requests_resent": traffic.n_failed_requests,
            "serves_again_s": {"median": sorted(seconds)[len(seconds) // 2], "worst": max(seconds)},
        },
        options.json,
        durability="fdatasync before 2xx, file journal",
        shards=2,
        clients=options.clients,
    )


if __name__ == "__main__":
    main()
