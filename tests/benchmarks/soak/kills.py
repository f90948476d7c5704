"""kill -9 of one process after the other."""

from __future__ import annotations

import os
import signal

from tests.benchmarks.soak import Chore
from tests.support.stand import Stand

TITLES = (
    "ray::ShardActor:shard-0", "ray::ServeReplica:gateway", "ray::ServeReplica:delivery", "ray::ShardActor:shard-1",
    "ray::ServeReplica:decisions", "ray::Learner", "ray::ServeReplica:content", "ray::Directory", "haproxy",
)  # fmt: skip


class Kills(Chore):
    name = "kills"
    every_s = 150.0

    def __init__(self, stand: Stand) -> None:
        super().__init__()
        self._stand = stand
        self.turn = 0

    def once(self) -> None:
        title = TITLES[self.turn % len(TITLES)]
        self.turn += 1
        for process in self._stand.processes(title):
            os.kill(process.pid, signal.SIGKILL)
            self.n[title.removeprefix("ray::")] += 1
