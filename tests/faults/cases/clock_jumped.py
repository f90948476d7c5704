"""The clocks of gateway and shards jump an hour ahead, back, an hour behind, and back."""

from __future__ import annotations

import time

from tests.faults import odd_machine
from tests.faults.cases import FaultResult, Options

OWN_INSTALLATION = True
HOUR_MS = 3_600_000


def run(options: Options) -> FaultResult:
    with options.under_load(settings=odd_machine.SETTINGS) as scene:
        for offset_ms in (HOUR_MS, 0, -HOUR_MS, 0):
            scene.strike(lambda ms=offset_ms: odd_machine.set_clock(scene.stand.data_dir, ms))
            scene.load.wait_until_quiet(time.monotonic(), at_least_s=options.seconds)
    return scene.result("a shard's own time never goes back; every other clock of Ray's Python jumps too")
