"""kill -9 of one shard actor, the next one each round."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import epochs, kill_shards, newer_epochs


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        for round_ in range(options.rounds):
            number = round_ % scene.stand.shards
            before = epochs(scene.stand, [number])
            scene.strike(lambda n=number: kill_shards(scene.stand, [n]), is_over=newer_epochs(scene.stand, before))
    return scene.result()
