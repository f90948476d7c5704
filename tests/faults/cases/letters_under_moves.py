"""2,000 identified devices send on under their anonymous ids while partitions move to and fro: every event is passed on."""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options
from tests.faults.counted_load import Pace
from tests.faults.device_load import DeviceLoad

PARTITIONS = "0-47"
PACE = Pace(batches_per_s=40.0, batch=20, users=2_000, clients=4)


def run(options: Options) -> FaultResult:
    n_moved = 0
    with options.under_load(PACE, load=DeviceLoad) as scene:

        def there_and_back() -> float:
            nonlocal n_moved
            for to in ("1", "0"):
                found = scene.stand.json(
                    "shards", "move", "--tenant", scene.tenant.name, "--partition", PARTITIONS, "--to", to
                )
                n_moved += len(found["moved"])
            return time.monotonic()

        for _ in range(options.rounds):
            scene.strike(there_and_back)
        letters = [shard["letters"] for shard in scene.stand.status()["shards"]]
    n_taken = sum(shard["taken"] for shard in letters)
    n_gaps = sum(shard["refused"]["gap"] for shard in letters)
    note = f"{n_moved} moves, {n_taken} letters taken, {n_gaps} refused because one before was missing"
    return scene.result(note, letters=letters)
