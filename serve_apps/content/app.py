"""Content as a Ray Serve application: the composition root of :class:`~serve_apps.content.rendering.Rendering`.

The Serve config names `build`. There is no HTTP: shards call the deployment's handle.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ray import serve
from ray.serve import Application

from actors.calls.directory import DirectoryCalls
from actors.calls.plain import plain
from actors.installation import configure_logs
from cluster.control_plane import ControlPlane
from cluster.launch.installation import load
from cluster.settings import networks
from serve_apps.content.rendering import Rendering
from serve_apps.content.writing import Writing
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.measures import CONTENT, Measures
from serve_apps.gateway.metrics.replicas import EVERY_S as TELL_EVERY_S
from serve_apps.generation.allowance import Allowance
from serve_apps.generation.asking import Asking
from serve_apps.generation.generators import Generators
from whisperer.errors import UnavailableError
from whisperer.feedback.links import LinkSigner
from whisperer.feedback.references import References


def build(args: dict[str, str]) -> Application:
    """Build the application; ``args["installation"]`` is the path of `installation.json`."""
    return Content.bind(args["installation"])  # type: ignore[attr-defined,no-any-return]


@serve.deployment(name="Content")
class Content:
    def __init__(self, installation_path: str) -> None:
        installation = load(Path(installation_path).parent)
        _, settings = installation.configured()
        configure_logs(installation_path, "content")
        plane = ControlPlane(settings.control_plane.url, keyring=installation.keyring(), migrated=True)
        secret = bytes.fromhex(installation.link_secret)
        directory = DirectoryCalls()
        asking = Asking(Allowance(directory.lease, plane))
        writing = Writing(Generators(plane, networks(settings.delivery.open_networks)), asking)
        self._rendering = Rendering(
            plane, LinkSigner(secret), installation.public_url, References(secret), writing, secret=secret
        )
        replica = f"content-{serve.get_replica_context().replica_id.unique_id}"
        measures = Measures(ReplicaCounts(0), replica, CONTENT)
        measures.generation = asking.counts
        self._telling = asyncio.ensure_future(_tell_forever(directory, measures))

    async def render(self, batch: bytes) -> bytes:
        """Render a batch: msgpack of list[RenderRequest] -> msgpack of list[Rendered | NotRendered | Wanting], in the
        same order."""
        return await self._rendering.render(batch)


async def _tell_forever(directory: DirectoryCalls, measures: Measures) -> None:
    """Leave what was asked of models with the directory, as gateways leave what they did."""
    while True:
        with contextlib.suppress(UnavailableError):
            await directory.exchange_reports(plain(measures.report()))
        await asyncio.sleep(TELL_EVERY_S)
