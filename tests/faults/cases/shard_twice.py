"""A second incarnation of a shard starts while the first runs; in every other round the first was stopped before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from cluster.launch import installation, ray_head
from tests.faults.cases import FaultResult, Options, Scene
from tests.faults.killing import epochs, newer_epochs
from tests.support.stand import ROOT


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        for round_ in range(options.rounds):
            number = round_ % scene.stand.shards
            before = epochs(scene.stand, [number])
            # The second one's epoch, and then that of the one which Ray starts in the place of the first.
            after = {shard: epoch + 1 for shard, epoch in before.items()}
            scene.strike(
                lambda n=number, stopped=round_ % 2 == 1: _start_second(scene, n, stopped),
                is_over=newer_epochs(scene.stand, after),
            )
    return scene.result(
        "from the start of the second one's process until the first one's successor has taken over again"
    )


def _start_second(scene: Scene, number: int, stopped: bool) -> None:
    if stopped:
        os.kill(scene.stand.status()["shards"][number]["pid"], signal.SIGSTOP)
    record = installation.load(scene.stand.data_dir)
    subprocess.run(
        [sys.executable, "-m", "tests.faults.second_incarnation", str(record.path), str(number)],
        env=ray_head.driver_environment(record),
        cwd=ROOT,
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )
