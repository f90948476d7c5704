"""Clients that give up after 5 ms on three requests in ten, while the server works on them, and send them again."""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options
from tests.faults.counted_load import Pace


def run(options: Options) -> FaultResult:
    with options.under_load(Pace(impatient=0.3)) as scene:
        scene.load.wait_until_quiet(time.monotonic(), at_least_s=options.seconds * 2)
    n = scene.load.figures()["given_up_early"]
    return scene.result(f"{n} requests given up early")
