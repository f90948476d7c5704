"""kill -9 of one gateway replica of two."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import GATEWAY, kill_one, replaced

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with options.under_load(settings={"GATEWAY_MIN_REPLICAS": 2, "GATEWAY_MAX_REPLICAS": 2}) as scene:
        for _ in range(options.rounds):
            is_over = replaced(scene.stand, GATEWAY)
            scene.strike(lambda: kill_one(scene.stand, GATEWAY), is_over=is_over)
    return scene.result()
