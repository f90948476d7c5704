"""kill -9 of all shard actors at once."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import epochs, kill_shards, newer_epochs


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        everyone = list(range(scene.stand.shards))
        for _ in range(options.rounds):
            before = epochs(scene.stand, everyone)
            scene.strike(lambda: kill_shards(scene.stand, everyone), is_over=newer_epochs(scene.stand, before))
    return scene.result()
