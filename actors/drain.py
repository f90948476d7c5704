"""Stops an installation's shards in order: nothing waits, everything is exported, a snapshot is taken.

`python -m actors.drain --installation <data-dir>/installation.json`
"""

from __future__ import annotations

import argparse
import contextlib

import ray
from ray.exceptions import RayError

from actors.installation import load
from actors.routing import DIRECTORY, NAMESPACE


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--installation", required=True)
    arguments.add_argument("--timeout-s", type=float, default=25.0)
    options = arguments.parse_args()
    installation = load(options.installation)
    ray.init(address=installation.ray_address, namespace=NAMESPACE, log_to_driver=False)
    partition_map = ray.get(ray.get_actor(DIRECTORY, NAMESPACE).partition_map.remote(), timeout=5)
    draining = []
    for number in partition_map.shards:
        with contextlib.suppress(ValueError):
            draining.append(ray.get_actor(partition_map.name_of(number), NAMESPACE).drain.remote())
    try:
        for answer in ray.get(draining, timeout=options.timeout_s):
            print(answer)
    except RayError as error:
        raise SystemExit(f"not every shard drained, the journal has everything: {error}") from error


if __name__ == "__main__":
    main()
