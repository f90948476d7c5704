"""A peer: bare Ray Serve with its default proxy, one actor call an event. Nothing is durable, nothing dropped twice.

Starts a small Ray of its own on free ports, serves until its standard input ends, then takes everything down.

    python -m tests.benchmarks.peers.ray_gateway PORT
"""

# Without `from __future__ import annotations`: FastAPI looks for Request itself, and in a replica finds no name for it.

import asyncio
import os
import sys
import tempfile
from collections import Counter
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
for _name in ("RAY_ADDRESS", "RAY_SERVE_THROUGHPUT_OPTIMIZED"):
    os.environ.pop(_name, None)

import ray  # noqa: E402  it reads the environment when it is imported
from fastapi import FastAPI, Request  # noqa: E402
from ray import serve  # noqa: E402

api = FastAPI()


@ray.remote(num_cpus=0.2)
class Profiles:
    """What is known of users: how often each was seen, and the newest event."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._newest: dict[str, dict[str, Any]] = {}

    def observe(self, event: dict[str, Any]) -> int:
        user = event.get("userId") or event["anonymousId"]
        self._seen[user] += 1
        self._newest[user] = event
        return self._seen[user]


@serve.deployment(max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.2})
@serve.ingress(api)
class Gateway:
    def __init__(self, profiles: Any) -> None:
        self._profiles = profiles

    @api.post("/v1/batch")
    async def batch(self, request: Request) -> dict[str, bool]:
        events = (await request.json())["batch"]
        await asyncio.gather(*(self._profiles.observe.remote(event) for event in events))
        return {"success": True}


def main() -> None:
    # As a module, not as __main__: what is shipped by value loses the names that FastAPI looks its annotations up in.
    from tests.benchmarks.peers.ray_gateway import Gateway, Profiles

    port = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="uwp-") as folder:
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
            serve.run(Gateway.bind(Profiles.remote()), name="peer", route_prefix="/")
            print("ready", flush=True)
            sys.stdin.read()
        finally:
            serve.shutdown()
            ray.shutdown()


if __name__ == "__main__":
    main()
