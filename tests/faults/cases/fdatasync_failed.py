"""fdatasync fails once under one shard's journal, as a dying disk makes it fail, and would succeed the next time."""

from __future__ import annotations

from tests.faults import odd_machine
from tests.faults.cases import FaultResult, Options
from tests.faults.killing import epochs, newer_epochs

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with options.under_load(settings=odd_machine.SETTINGS) as scene:
        for round_ in range(options.rounds):
            number = round_ % scene.stand.shards
            before = epochs(scene.stand, [number])
            scene.strike(
                lambda n=number: odd_machine.fail_next_sync(scene.stand.data_dir, n),
                is_over=newer_epochs(scene.stand, before),
            )
    return scene.result("the shard ends itself, and recovers from what is on disk")
