"""Spreads senders over a Ray cluster and adds up what they say. Whatever connected Ray before: tasks or Ray Client."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from typing import Any

import ray

from tests.load import sending


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the gateway, as the cluster's nodes reach it")
    parser.add_argument("--key", required=True, help="a write key")
    parser.add_argument("--tasks", type=int, default=4, help="senders at once")
    parser.add_argument("--batches", type=int, default=100, help="each sends")
    parser.add_argument("--size", type=int, default=500, help="events a batch")
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--cpus", type=float, default=0.1, help="CPUs that a task reserves")
    return parser


def drive(options: argparse.Namespace) -> dict[str, Any]:
    """Run the senders on the cluster that Ray is connected to; the sums. Raises what a sender raised."""
    # By value: the cluster's nodes need not have this module.
    ray.cloudpickle.register_pickle_by_value(sending)
    try:
        # A sender that died may have sent: run again it sends the same messageIds, which count once.
        sender = ray.remote(num_cpus=options.cpus, max_retries=2)(_send)
        run = f"load-{secrets.token_hex(4)}"
        began = time.monotonic()
        found = ray.get(
            [
                sender.remote(options.url, options.key, run, task, options.batches, options.size, options.users)
                for task in range(options.tasks)
            ]
        )
        seconds = time.monotonic() - began
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sending)
    return summary(found, seconds)


def _send(*arguments: Any) -> dict[str, Any]:
    sent = sending.send(*arguments)
    return {**vars(sent), "node": ray.get_runtime_context().get_node_id()}


def summary(found: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Sums over all senders; ``seconds`` from the first task handed over to the last answer."""
    latencies = sorted(latency for sent in found for latency in sent["latencies"])
    n_events = sum(sent["n_events"] for sent in found)

    def at(share: float) -> float:
        return round(latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1000, 2)

    return {
        "tasks": len(found),
        "nodes": len({sent["node"] for sent in found}),
        "acknowledged": n_events,
        "requests": sum(sent["n_requests"] for sent in found),
        "tries": sum(sent["n_tries"] for sent in found),
        "seconds": round(seconds, 2),
        "events_per_s": round(n_events / seconds),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
    }


def tell(figures: dict[str, Any]) -> None:
    print(json.dumps(figures, indent=2))
