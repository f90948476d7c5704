"""Knows the brands of the tenants whose messages are rendered here, and under which address their links lead.

A brand is kept until the control plane's version changes, which is looked at when something is to be rendered, at most
every `POLL_INTERVAL_S`. If the control plane does not answer, what is known stays; what is not known raises, so nothing
goes out under no brand by accident. Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from actors.telemetry.logs import Seldom
from whisperer.ids import TenantId

POLL_INTERVAL_S = 0.5
LOOK_PATIENCE_S = 1.0
MAX_KEPT = 10_000


class Brand(NamedTuple):
    """What templates know as ``brand``, and the address of links; "" for the installation's own."""

    values: Mapping[str, str]
    links_base_url: str


_log = logging.getLogger(__name__)


class Plane(Protocol):
    """The part of the control plane that is used here; both methods block."""

    def version(self) -> int: ...
    def tenant_settings(self, tenant: str) -> Any:
        """Return settings with a ``brand``. Raises NotFoundError."""


class Brands:
    """The brands that are known."""

    def __init__(self, plane: Plane, *, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        self._plane = plane
        self._poll_interval_s = poll_interval_s
        self._kept: OrderedDict[TenantId, tuple[int, Brand]] = OrderedDict()
        self._version = -1
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._seldom = Seldom(_log)

    async def of(self, tenant: TenantId) -> Brand:
        """Return a tenant's brand. Raises whatever the control plane raised if the brand is not known yet."""
        await self._look()
        version, held = self._version, self._kept.get(tenant)
        if held is not None and held[0] == version:
            return held[1]
        try:
            settings = await asyncio.to_thread(self._plane.tenant_settings, tenant)
        except Exception:
            if held is None:
                raise
            return held[1]
        found = Brand(dict(settings.brand), settings.links_base_url)
        self._kept[tenant] = (version, found)
        self._kept.move_to_end(tenant)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    async def version(self) -> int:
        """Return the control plane's version as it was last seen; -1 if it was never."""
        await self._look()
        return self._version

    async def _look(self) -> None:
        """Look whether brands may have changed; a control plane that hangs holds up one batch a look."""
        if self._looking is None or self._looking.done():
            if asyncio.get_running_loop().time() - self._looked_at < self._poll_interval_s:
                return
            self._looking = asyncio.ensure_future(self._ask())
            await asyncio.wait({self._looking}, timeout=LOOK_PATIENCE_S)

    async def _ask(self) -> None:
        try:
            self._version = await asyncio.to_thread(self._plane.version)
        except Exception as error:
            message = "the control plane does not answer; brands already known stay as they are: %r"
            self._seldom.log(logging.WARNING, "version", message, error.__cause__ or error)
        self._looked_at = asyncio.get_running_loop().time()
