"""One request in ten is sent again after it was acknowledged."""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options
from tests.faults.counted_load import Pace


def run(options: Options) -> FaultResult:
    with options.under_load(Pace(repeated=0.1, reordered=0.0)) as scene:
        scene.load.wait_until_quiet(time.monotonic(), at_least_s=options.seconds * 2)
    assert scene.verdict is not None
    dropped = scene.verdict.figures["by_shards"]["duplicates_dropped"]
    return scene.result(f"{dropped:,} events dropped as repeats")
