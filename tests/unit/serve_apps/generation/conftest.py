"""A tenant's generator that asks a scripted server, with a limiter and a control plane of the test's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

from actors.limiter import Ask, Lease, Limiter
from cluster.control_plane.tenancy.tenant_settings import TenantSettings
from serve_apps.generation.allowance import Allowance
from serve_apps.generation.asking import Asking
from serve_apps.generation.generators import Generator, Generators
from tests.support.model_server import ModelServer, Step, model_server
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.errors import UnavailableError

LOOPBACK = [ip_network("127.0.0.0/8")]
KEY = "sk-of-the-test"  # pragma: allowlist secret


class FakePlane:
    def __init__(self, settings: GeneratorSettings | None) -> None:
        self.settings = settings
        self.changes = 1
        self.down = False
        self.tokens: Counter[int] = Counter()

    def _look(self) -> None:
        if self.down:
            raise UnavailableError("the database does not answer")

    def version(self) -> int:
        self._look()
        return self.changes

    def generator(self, tenant: str) -> GeneratorSettings | None:
        self._look()
        return self.settings

    def tenant_settings(self, tenant: str) -> TenantSettings:
        self._look()
        return TenantSettings(brand={"name": "Acme"})

    def spend_generator_tokens(self, tenant_id: str, day: int, tokens: int) -> int:
        self._look()
        self.tokens[day] += tokens
        return self.tokens[day]


class World:
    """Everything about one tenant's generator; ``now`` is the clock of rates and rests."""

    def __init__(self, server: ModelServer, **settings: Any) -> None:
        self.server = server
        wanted = {"base_url": server.base_url, "model": "writer", "api_key": KEY, "at_send_time": True}
        self.plane = FakePlane(GeneratorSettings(**{**wanted, "requests_per_minute": 60_000, **settings}))
        self.now = 1_000.0
        self.day = 20_000
        self.limiter = Limiter()
        self.limiter_is_away = False
        self.allowance = Allowance(self.lease, self.plane, clock=lambda: self.now, today=lambda: self.day)
        self.asking = Asking(self.allowance)
        self.generators = Generators(self.plane, LOOPBACK, poll_s=0.0)

    async def lease(self, asks: list[Ask]) -> list[Lease]:
        if self.limiter_is_away:
            raise UnavailableError("the limiter is away")
        return self.limiter.lease(asks, self.now)

    async def generator(self) -> Generator:
        found = await self.generators.of("tn_1")  # type: ignore[arg-type]
        assert found is not None
        return found


@asynccontextmanager
async def world(*steps: Step, **settings: Any) -> AsyncIterator[World]:
    async with model_server(*steps) as server:
        made = World(server, **settings)
        try:
            yield made
        finally:
            await made.generators.aclose()
