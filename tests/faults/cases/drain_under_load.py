"""A shard is added, filled, emptied again and stopped."""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    pauses: list[float] = []
    with options.under_load(settings={"CLUSTER_NUM_CPUS": 4}) as scene:

        def come_and_go() -> float:
            number = scene.stand.json("shards", "add")["shard"]
            for command in (("rebalance",), ("drain", str(number))):
                found = scene.stand.json("shards", *command)
                pauses.extend(m["pause_ms"] for m in found["moved"] if "pause_ms" in m)
            return time.monotonic()

        for _ in range(options.rounds):
            scene.strike(come_and_go)
    longest = max(pauses, default=0.0)
    return scene.result(f"{len(pauses)} moves, longest pause {longest:.0f} ms", pauses_ms=sorted(pauses))
