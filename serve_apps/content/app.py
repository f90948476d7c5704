"""Content as a Ray Serve application: the composition root of :class:`~serve_apps.content.rendering.Rendering`.

The Serve config names `build`. There is no HTTP: shards call the deployment's handle.
"""

from __future__ import annotations

from pathlib import Path

from ray import serve
from ray.serve import Application

from actors.installation import configure_logs
from cluster.control_plane import ControlPlane
from cluster.launch.installation import load
from serve_apps.content.rendering import Rendering
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
        plane = ControlPlane(settings.control_plane.url, migrated=True)
        secret = bytes.fromhex(installation.link_secret)
        self._rendering = Rendering(
            plane, LinkSigner(secret), installation.public_url, References(secret), secret=secret
        )

    async def render(self, batch: bytes) -> bytes:
        """Render a batch: msgpack of list[RenderRequest] -> msgpack of list[Rendered | NotRendered], in the same
        order."""
        return await self._rendering.render(batch)
