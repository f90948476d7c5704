"""Start this product's actors: detached, named, restarted for ever, found again by name."""

from __future__ import annotations

import importlib
from typing import Any, cast

import ray
from ray.actor import ActorHandle

from actors.calls.named_actor import NAMESPACE
from whisperer.settings import ClusterSettings

MAX_CONCURRENCY = 2_000
"""Calls an actor works on at a time; most of them wait for the disk together."""

SHARD_PROGRAM = "actors.shard.actor:ShardActor"

HEAD, WORKER = "whisperer_head", "whisperer_worker"
"""Resources that the launcher gives to the head and to nodes that join it (ray_head.py, worker_node.py)."""


def start(cls: type, name: str, num_cpus: float, *args: Any, on: str = "") -> ActorHandle[Any]:
    """Return the actor of that name, started if necessary; ``on`` names the kind of node it must live on, "" any."""
    found: ActorHandle[Any] = (
        cast(Any, ray.remote(cls))
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=num_cpus,
            max_concurrency=MAX_CONCURRENCY,
            resources={on: 0.001} if on else None,
        )
        .remote(*args)
    )
    return found


def shards_live_on(cluster: ClusterSettings) -> str:
    """Return the kind of node for shard actors."""
    return WORKER if cluster.shards_on_workers else ""


def named(program: str) -> type:
    """Return the class named by ``module:Class``: one of ours or from the operator's settings, never from a caller."""
    module, _, name = program.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found
