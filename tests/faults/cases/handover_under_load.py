"""Shards are handed over to new processes, as an upgrade of their code does it."""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    pauses: list[float] = []
    with options.under_load(settings={"CLUSTER_NUM_CPUS": 4}) as scene:

        def hand_over(shard: int) -> float:
            pauses.extend(answer["pause_s"] for answer in scene.stand.json("shards", "upgrade", str(shard)))
            return time.monotonic()

        for round_ in range(options.rounds):
            scene.strike(lambda shard=round_ % scene.stand.shards: hand_over(shard))
    return scene.result(f"pauses {', '.join(f'{pause:.2f} s' for pause in pauses)}", pauses_s=pauses)
