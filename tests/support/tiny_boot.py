"""A boot program for tests of the launcher: one detached actor, as the real one makes many."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray


@ray.remote(num_cpus=0.1, max_restarts=-1, name="tiny-shard", lifetime="detached")
class TinyShard:
    def ping(self) -> str:
        return "pong"


if __name__ == "__main__":
    record = json.loads(Path(sys.argv[sys.argv.index("--installation") + 1]).read_text())
    ray.init(address=record["ray_address"], namespace=record["namespace"], log_to_driver=False)
    shard = TinyShard.remote()
    assert ray.get(shard.ping.remote()) == "pong"
