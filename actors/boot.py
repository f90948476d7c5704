"""Create an installation's actors, or find those that are alive, and wait until they answer.

Run as `python -m actors.boot --installation <data-dir>/installation.json`; exits with 0 once every shard has recovered.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, cast

import ray
from ray.exceptions import RayActorError

from actors.calls.named_actor import DIRECTORY, LEARNER, NAMESPACE
from actors.calls.partition_map import PartitionMap, shard_name
from actors.directory.actor import Directory
from actors.directory.starting import HEAD, shards_live_on, start
from actors.installation import load
from actors.learner.actor import Learner
from actors.shard import successor
from actors.shard.actor import ShardActor
from whisperer.settings import ClusterSettings


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--installation", required=True)
    arguments.add_argument("--timeout-s", type=float, default=110.0)
    options = arguments.parse_args()
    installation = load(options.installation)
    ray.init(address=installation.ray_address, namespace=NAMESPACE, log_to_driver=False)
    cluster = installation.settings.cluster
    folder = f"{installation.data_dir}/directory"
    directory = start(Directory, DIRECTORY, cluster.cpu_directory, folder, cluster.shards, on=HEAD)
    partition_map = cast(PartitionMap, ray.get(directory.partition_map.remote(), timeout=options.timeout_s))
    start(Learner, LEARNER, cluster.cpu_learner, options.installation, on=HEAD)
    shards = {n: _shard(n, partition_map.name_of(n), cluster, options.installation) for n in partition_map.shards}
    deadline = time.monotonic() + options.timeout_s
    for number, shard in shards.items():
        try:
            status = ray.get(shard.status.remote(), timeout=max(1.0, deadline - time.monotonic()))
        except RayActorError as error:
            sys.exit(f"{shard_name(number)} did not recover: {error}")
        print(f"{status['name']}: epoch {status['epoch']}, {status['users']} users, recovery {status['recovery']}")


def _shard(number: int, name: str, cluster: ClusterSettings, installation: str) -> Any:
    """Return a shard's actor, under the name that its last upgrade gave it."""
    on = shards_live_on(cluster)
    if name == shard_name(number):
        return start(ShardActor, name, cluster.cpu_shard, number, installation, on=on)
    return start(successor.ShardActor, name, cluster.cpu_shard, number, installation, name, on=on)


if __name__ == "__main__":
    main()
