"""A cluster of several Ray nodes on this machine: head, two workers with the shards, and a real Redis for everything.

Journal and Ray's own metadata are in the Redis, snapshots and warehouse in a folder that all nodes see. The nodes are
joined by the product's own command line, each with its own raylet, ports and temporary folder: what kill -9 of all of
one node's processes leaves is what the loss of its machine leaves.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cluster.errors import InstallationError
from cluster.launch import installation, pids, worker_node
from tests.support.redis_stand import RedisServer, redis_server
from tests.support.stand import START_TIMEOUT_S, Stand, until

WORKERS = ("one", "two")
CPUS_OF_A_WORKER = 2


class ClusterStand(Stand):
    """An installation whose shards live on nodes of their own."""

    def __init__(self, data_dir: Path, redis: RedisServer, *, settings: dict[str, Any] | None = None) -> None:
        self.redis = redis
        where = {
            "JOURNAL_URL": redis.url,
            "CLUSTER_GCS_REDIS": redis.url,
            "CLUSTER_SHARDS_ON_WORKERS": "true",
            "CLUSTER_APPLICATIONS_ON_HEAD": "true",
        }
        super().__init__(data_dir, settings={**where, **(settings or {})})

    def up(self, *options: str) -> None:
        """Start the head; the nodes join as soon as it is there, for its start waits for shards that need them."""
        with ThreadPoolExecutor(1) as thread:
            starting = thread.submit(super().up, *options)
            until(lambda: self.has_head() or starting.done(), "the head", START_TIMEOUT_S)
            if not starting.done():
                for name in WORKERS:
                    self.join(name)
            starting.result()

    def has_head(self) -> bool:
        try:
            return installation.load(self.data_dir).running
        except InstallationError:
            return False

    def join(self, name: str) -> None:
        self.run("node", "join", "--name", name, "--num-cpus", str(CPUS_OF_A_WORKER))

    def node_of(self, shard: int) -> str:
        """The worker that a shard actor runs on."""
        pid = self.status()["shards"][shard]["pid"]
        for node in worker_node.nodes(self.data_dir):
            if any(found.pid == pid for found in self.processes_of(node.name)):
                return node.name
        raise AssertionError(f"shard {shard} (pid {pid}) runs on no worker")

    def serves_after(self, shard: int, epoch: int) -> bool:
        """Whether a shard serves in an epoch later than this one."""
        found = self._shard(shard)
        return found is not None and found["state"] == "serving" and found["epoch"] > epoch

    def processes_of(self, name: str) -> set[pids.Pid]:
        (node,) = (n for n in worker_node.nodes(self.data_dir) if n.name == name)
        return pids.find("none", Path(node.temp_dir), [node.raylet] if node.raylet else [])

    def kill_node(self, name: str) -> None:
        """kill -9 everything that runs on a worker: its raylet, its agents, its actors."""
        for found in self.processes_of(name):
            try:
                os.kill(found.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def kill_gcs(self) -> None:
        record = json.loads((self.data_dir / "installation.json").read_bytes())
        for entry in record["head"]:
            if psutil.Process(entry["pid"]).name() == "gcs_server":
                os.kill(entry["pid"], signal.SIGKILL)
                return
        raise AssertionError("no GCS is recorded")

    def down(self) -> None:
        """Head first: shards are drained while their nodes live."""
        super().down()
        for node in worker_node.nodes(self.data_dir):
            worker_node.leave(self.data_dir, node.name)


@contextmanager
def cluster_running(folder: Path, *, settings: dict[str, Any] | None = None) -> Iterator[ClusterStand]:
    """A cluster inside the block, gone after it."""
    with redis_server(folder / "redis") as server:
        stand = ClusterStand(folder / "data", server, settings=settings)
        try:
            stand.up()
            yield stand
        finally:
            stand.down()
