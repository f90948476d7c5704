"""Delivery as a Ray Serve application: the composition root of its providers, and the one method the shards call.

The Serve config names `build`. There is no HTTP ingress; shard actors call `dispatch` through a handle.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ray import serve
from ray.serve import Application

from actors.calls.directory import DirectoryCalls
from actors.installation import configure_logs
from cluster.control_plane import ControlPlane
from cluster.launch.installation import load
from cluster.settings import networks
from serve_apps.delivery.adapters import maker
from serve_apps.delivery.attempts import AttemptFile, Attempts
from serve_apps.delivery.deliveries import Deliveries
from serve_apps.delivery.routing import Routing
from serve_apps.delivery.sink import Sink, SinkProvider
from serve_apps.delivery.telling import tell_forever

SWITCH_S = 0.001
"""Files are written in threads, and a thread that comes back from the disk waits so long for the interpreter if the
event loop is busy. The usual 5 ms, several times a message, were a third of what a send took."""


def build(args: dict[str, str]) -> Application:
    """Build the application; ``args["installation"]`` is the path of `installation.json`."""
    return Delivery.bind(args["installation"])  # type: ignore[attr-defined,no-any-return]


@serve.deployment(name="Delivery")
class Delivery:
    def __init__(self, installation_path: str) -> None:
        installation = load(Path(installation_path).parent)
        settings = installation.settings
        assert settings is not None
        configure_logs(installation_path, "delivery")
        sys.setswitchinterval(SWITCH_S)
        replica = serve.get_replica_context().replica_id.unique_id
        make = maker(_now_ms, networks(settings.delivery.open_networks))
        sink = SinkProvider(Sink(installation.sink_path), _now_ms)
        plane = ControlPlane(settings.control_plane.url, keyring=installation.keyring(), migrated=True)
        # Replicas know nothing of each other: each keeps to its part of every rate.
        routing = Routing(plane, sink, make, share=1.0 / max(1, settings.delivery.max_replicas), clock=_now_ms)
        self._deliveries = Deliveries(routing, Attempts(AttemptFile(installation.attempts_path), _now_ms))
        self._telling = asyncio.ensure_future(tell_forever(DirectoryCalls(), replica, routing.states))

    async def dispatch(self, batch: bytes) -> AsyncIterator[bytes]:
        """Deliver a batch: msgpack ``list[Dispatch]`` -> several msgpack ``list[Receipt]``, until each dispatch has
        one."""
        async for receipts in self._deliveries.dispatch_encoded(batch):
            yield receipts


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
