"""Knows the tenants' generators: their settings, and for each the endpoint with its connections.

Settings are kept until the control plane's version changes, which is looked at at most every `POLL_INTERVAL_S`. If the
control plane does not answer, what is known stays; a tenant of whom nothing is known has no generator until it does.
Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from actors.telemetry.logs import Seldom
from serve_apps.delivery.ssrf import Network
from serve_apps.generation.breaker import Breaker
from whisperer.content.generation.prompt import Voice
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.ids import TenantId

if TYPE_CHECKING:
    from serve_apps.generation.endpoint import Endpoint

POLL_INTERVAL_S = 0.5
LOOK_PATIENCE_S = 0.5
MAX_KEPT = 256
"""With connections; the longest out of use is closed."""
MAX_AT_ONCE = 16
"""Questions of one tenant under way in one process."""

_log = logging.getLogger(__name__)


class Plane(Protocol):
    """The part of the control plane that is used here; all block."""

    def version(self) -> int: ...
    def generator(self, tenant: str) -> GeneratorSettings | None: ...
    def tenant_settings(self, tenant: str) -> Any:
        """Return settings with a ``brand``. Raises NotFoundError."""


@dataclass(slots=True)
class Generator:
    """One tenant's generator, in one process."""

    settings: GeneratorSettings
    voice: Voice
    endpoint: Endpoint
    breaker: Breaker = field(default_factory=Breaker)
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))


class Generators:
    """The generators that are in use."""

    def __init__(self, plane: Plane, open_networks: Sequence[Network] = (), *, poll_s: float = POLL_INTERVAL_S) -> None:
        self._plane = plane
        self._open_networks = open_networks
        self._poll_s = poll_s
        self._kept: OrderedDict[TenantId, tuple[int, Generator | None]] = OrderedDict()
        self._version = -1
        self._looked_at = float("-inf")
        self._finding: dict[TenantId, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._seldom = Seldom(_log)

    async def of(self, tenant: TenantId) -> Generator | None:
        """Return a tenant's generator, None if it has none or nothing is known."""
        await self._look()
        held = self._kept.get(tenant)
        if held is not None and held[0] == self._version:
            self._kept.move_to_end(tenant)
            return held[1]
        async with self._finding.setdefault(tenant, asyncio.Lock()):
            held, version = self._kept.get(tenant), self._version
            if held is not None and held[0] == version:
                return held[1]
            try:
                async with asyncio.timeout(LOOK_PATIENCE_S):
                    settings = await asyncio.to_thread(self._plane.generator, tenant)
                    brand = (await asyncio.to_thread(self._plane.tenant_settings, tenant)).brand.get("name", "")
            except Exception as error:
                self._seldom.log(logging.WARNING, "generator", "a tenant's generator cannot be looked up: %r", error)
                return None if held is None else held[1]
            found = self._renewed(settings, brand, None if held is None else held[1])
            self._kept[tenant] = (version, found)
            self._kept.move_to_end(tenant)
            while len(self._kept) > MAX_KEPT:
                gone, (_, closed) = self._kept.popitem(last=False)
                self._finding.pop(gone, None)
                self._close(closed)
            return found

    async def aclose(self) -> None:
        """Close all connections."""
        for _, generator in self._kept.values():
            self._close(generator)
        self._kept.clear()
        await asyncio.gather(*self._closing)

    def _renewed(self, settings: GeneratorSettings | None, brand: str, held: Generator | None) -> Generator | None:
        if settings is None:
            self._close(held)
            return None
        voice = settings.voice_of(brand)
        if held is not None and held.settings == settings:
            held.voice = voice
            return held
        from serve_apps.generation.endpoint import Endpoint  # loads `openai`, 0.7 s and 60 MB, once somebody uses it

        self._close(held)
        return Generator(settings, voice, Endpoint(settings, self._open_networks))

    def _close(self, generator: Generator | None) -> None:
        if generator is not None:
            closing = asyncio.ensure_future(self._closed(generator))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _closed(self, generator: Generator) -> None:
        """Close an endpoint once its questions have ended."""
        for _ in range(MAX_AT_ONCE):
            await generator.at_once.acquire()
        await generator.endpoint.aclose()

    async def _look(self, clock: Callable[[], float] = time.monotonic) -> None:
        if clock() - self._looked_at < self._poll_s:
            return
        self._looked_at = clock()
        try:
            async with asyncio.timeout(LOOK_PATIENCE_S):
                self._version = await asyncio.to_thread(self._plane.version)
        except Exception as error:
            self._seldom.log(logging.WARNING, "version", "the control plane does not answer: %r", error)
