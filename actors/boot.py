"""Creates an installation's actors, or finds those that live, and waits until they answer.

`python -m actors.boot --installation <data-dir>/installation.json`; exit 0 when every shard has recovered.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import ray
from ray.exceptions import RayActorError

from actors.directory import Directory
from actors.installation import load
from actors.learner import Learner
from actors.routing import DIRECTORY, LEARNER, NAMESPACE, shard_name
from actors.shard_actor import ShardActor

MAX_CONCURRENCY = 2_000
"""Calls an actor works on at a time; most of them wait for the disk together."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--installation", required=True)
    arguments.add_argument("--timeout-s", type=float, default=110.0)
    options = arguments.parse_args()
    installation = load(options.installation)
    ray.init(address=installation.ray_address, namespace=NAMESPACE, log_to_driver=False)
    cluster = installation.settings.cluster
    directory = _actor(
        Directory, DIRECTORY, cluster.cpu_directory, f"{installation.data_dir}/directory", cluster.shards
    )
    n_shards = ray.get(directory.n_shards.remote(), timeout=options.timeout_s)
    _actor(Learner, LEARNER, cluster.cpu_learner, options.installation)
    shards = [_actor(ShardActor, shard_name(n), cluster.cpu_shard, n, options.installation) for n in range(n_shards)]
    deadline = time.monotonic() + options.timeout_s
    for number, shard in enumerate(shards):
        try:
            status = ray.get(shard.status.remote(), timeout=max(1.0, deadline - time.monotonic()))
        except RayActorError as error:
            sys.exit(f"{shard_name(number)} did not recover: {error}")
        print(f"{status['name']}: epoch {status['epoch']}, {status['users']} users, recovery {status['recovery']}")


def _actor(cls: type, name: str, num_cpus: float, *args: Any) -> Any:
    return (
        ray.remote(cls)
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=num_cpus,
            max_concurrency=MAX_CONCURRENCY,
        )
        .remote(*args)
    )


if __name__ == "__main__":
    main()
