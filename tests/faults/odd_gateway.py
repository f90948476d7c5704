"""The gateway on the odd machine: its replicas read the odd clock."""

from __future__ import annotations

from pathlib import Path

from ray import serve
from ray.serve import Application

from serve_apps.gateway.app import Gateway
from tests.faults import odd_machine


class OddGateway(Gateway.func_or_class):  # type: ignore[name-defined,misc]
    async def __init__(self, installation_path: str) -> None:  # Serve makes an ingress's constructor asynchronous
        odd_machine.give_clock(Path(installation_path).parent)
        await super().__init__(installation_path)


def build(args: dict[str, str]) -> Application:
    deployment = serve.deployment(name="Gateway")(OddGateway)
    return deployment.bind(args["installation"])  # type: ignore[no-any-return]
