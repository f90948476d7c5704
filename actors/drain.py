"""Stop an installation's shards in order: sends under way end, the queue empties, all is exported, a snapshot is taken.

Run as `python -m actors.drain --installation <data-dir>/installation.json`. Every shard keeps serving until the sends
of all of them have ended, or are given up as unknown. Each line it prints says what it is waiting for, for whoever
started it.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.calls.named_actor import DIRECTORY, NAMESPACE
from actors.calls.partition_map import PartitionMap
from actors.calls.plain import Plain
from actors.calls.shard_status import ShardStatus, read_status
from actors.installation import load

LOOK_S = 1.0
GRACE_S = 15.0
"""For shards to journal what they give up."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--installation", required=True)
    arguments.add_argument("--timeout-s", type=float, default=25.0, help="for the snapshots")
    options = arguments.parse_args()
    installation = load(options.installation)
    ray.init(address=installation.ray_address, namespace=NAMESPACE, log_to_driver=False)
    answer: Any = ray.get(ray.get_actor(DIRECTORY, NAMESPACE).partition_map.remote(), timeout=5)
    partition_map: PartitionMap = answer
    shards = []
    for number in partition_map.shards:
        with contextlib.suppress(ValueError):
            shards.append(ray.get_actor(partition_map.name_of(number), NAMESPACE))
    finish_sends(shards, installation.settings.delivery.stop_timeout_s)
    try:
        for answer in ray.get([shard.drain.remote() for shard in shards], timeout=options.timeout_s):
            print(answer, flush=True)
    except RayError as error:
        raise SystemExit(f"not every shard drained, the journal has everything: {error}") from error


def finish_sends(shards: list[ActorHandle[Any]], within_s: float) -> None:
    """Wait until no shard has a send under way, reporting how many there are."""
    finishing: list[Any] = [shard.finish_sends.remote() for shard in shards]
    began = time.monotonic()
    left = finishing
    while left and time.monotonic() - began < within_s + GRACE_S:
        _, left = ray.wait(left, num_returns=len(left), timeout=LOOK_S)
        if left:
            n = sum(_n_under_way(shard) for shard in shards)
            print(f"{n} messages under way, {time.monotonic() - began:.0f} s of at most {within_s:g} s", flush=True)
    for one in finishing:
        with contextlib.suppress(RayError):  # a shard that died has the rest in its journal
            n_unknown: int = ray.get(one, timeout=0)
            if n_unknown:
                print(f"{n_unknown} messages had no answer: they count as unknown", flush=True)


def _n_under_way(shard: ActorHandle[Any]) -> int:
    try:
        answer: Plain = ray.get(shard.status.remote(), timeout=LOOK_S)
    except RayError:
        return 0
    status = read_status(answer)
    return status.messages_under_way if isinstance(status, ShardStatus) else 0


if __name__ == "__main__":
    main()
