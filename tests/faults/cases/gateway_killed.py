"""kill -9 of the only gateway replica."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import GATEWAY, kill, replaced


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        for _ in range(options.rounds):
            is_over = replaced(scene.stand, GATEWAY)
            scene.strike(lambda: kill(scene.stand, GATEWAY), is_over=is_over)
    return scene.result()
