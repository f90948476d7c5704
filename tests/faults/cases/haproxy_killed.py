"""kill -9 of HAProxy, through which all requests come."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import HAPROXY, kill_programs, replaced_program


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        for _ in range(options.rounds):
            is_over = replaced_program(scene.stand, HAPROXY)
            scene.strike(lambda: kill_programs(scene.stand, HAPROXY), is_over=is_over)
    return scene.result()
