"""kill -9 of the Serve controller."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import CONTROLLER, kill, replaced


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        for _ in range(options.rounds):
            is_over = replaced(scene.stand, CONTROLLER)
            scene.strike(lambda: kill(scene.stand, CONTROLLER), is_over=is_over)
    return scene.result("requests do not pass through it")
