"""`python -m tests.faults.second_incarnation <installation.json> <shard>`: one more actor for a shard that has one.

It recovers, as an actor does that Ray started on the far side of a network partition, and is ended without a goodbye as
soon as it has answered once.
"""

from __future__ import annotations

import contextlib
import sys

import ray
from ray.exceptions import RayActorError

from actors.calls.named_actor import NAMESPACE
from actors.directory.starting import MAX_CONCURRENCY
from actors.installation import load
from actors.shard.actor import ShardActor


def main() -> None:
    path, number = sys.argv[1], int(sys.argv[2])
    ray.init(address=load(path).ray_address, namespace=NAMESPACE, log_to_driver=False)
    second = ray.remote(ShardActor).options(num_cpus=0, max_concurrency=MAX_CONCURRENCY).remote(number, path)
    with contextlib.suppress(RayActorError):  # the first one's successor has fenced it already
        print(ray.get(second.status.remote(), timeout=90)["epoch"])
    ray.kill(second)


if __name__ == "__main__":
    main()
