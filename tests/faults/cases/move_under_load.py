"""Partitions move to and fro, and the old home, the new one and the directory are killed in the middle of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from tests.faults.cases import FaultResult, Options, Scene

PARTITIONS = "0-15"


def run(options: Options) -> FaultResult:
    moved: list[dict[str, Any]] = []
    with options.under_load() as scene:
        _move(scene, 1, moved)  # nothing is killed in these two
        _move(scene, 0, moved)
        for round_ in range(options.rounds):
            to = 1 - round_ % 2
            killed = ("source", "target", "directory")[round_ % 3]
            scene.strike(lambda to=to, killed=killed: _move_and_kill(scene, to, killed, moved))
    pauses = sorted(m["pause_ms"] for m in moved if "pause_ms" in m)
    longest = pauses[-1] if pauses else 0.0
    note = f"{len(moved)} partitions moved, median pause {pauses[len(pauses) // 2]:.0f} ms, longest {longest:.0f} ms"
    return scene.result(note, pauses_ms=pauses)


def _move(scene: Scene, to: int, moved: list[dict[str, Any]]) -> None:
    found = scene.stand.json(
        "shards", "move", "--tenant", scene.tenant.name, "--partition", PARTITIONS, "--to", str(to)
    )
    moved += found["moved"]


def _move_and_kill(scene: Scene, to: int, killed: str, moved: list[dict[str, Any]]) -> float:
    """Kill while the moves go on; they are ordered again until all are done, as an operator would. When it was over."""
    shards = scene.stand.status()["shards"]
    if killed == "directory":
        pid = scene.stand.processes("ray::Directory")[0].pid
    else:
        pid = shards[1 - to if killed == "source" else to]["pid"]
    timer = threading.Timer(1.5, lambda: os.kill(pid, signal.SIGKILL))  # the command needs about a second to begin
    timer.start()
    try:
        while True:
            try:
                _move(scene, to, moved)
                break
            except AssertionError:  # the order's answer was lost with whom it was given to
                time.sleep(0.2)
    finally:
        timer.join()
    return time.monotonic()
