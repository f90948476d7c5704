"""Knows the brands of the tenants whose messages are rendered here, and under which address their links lead.

A brand is kept until the control plane's version changes (:mod:`.versions`). If the control plane does not answer, what
is known stays; what is not known raises, so nothing goes out under no brand by accident. Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from actors.telemetry.logs import Seldom
from serve_apps.supplies.versions import POLL_INTERVAL_S, PlaneVersion
from whisperer.ids import TenantId

MAX_KEPT = 10_000

_seldom = Seldom(logging.getLogger(__name__))


class Brand(NamedTuple):
    """What templates know as ``brand``, and the address of links; "" for the installation's own."""

    values: Mapping[str, str]
    links_base_url: str


class Plane(Protocol):
    """The part of the control plane that is used here; both methods block."""

    def version(self) -> int: ...
    def tenant_settings(self, tenant: str) -> Any:
        """Return settings with a ``brand``. Raises NotFoundError."""


class Brands:
    """The brands that are known."""

    def __init__(self, plane: Plane, *, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        self._plane = plane
        self._version = PlaneVersion(plane, poll_interval_s)
        self._kept: OrderedDict[TenantId, tuple[int, Brand]] = OrderedDict()

    async def of(self, tenant: TenantId) -> Brand:
        """Return a tenant's brand. Raises whatever the control plane raised if the brand is not known yet."""
        version, held = await self._version.current(), self._kept.get(tenant)
        if held is not None and held[0] == version:
            return held[1]
        try:
            settings = await asyncio.to_thread(self._plane.tenant_settings, tenant)
        except Exception as error:
            if held is None:
                raise
            _seldom.log(logging.WARNING, "brand", "brands that are known stay as they are: %r", error)
            return held[1]
        found = Brand(dict(settings.brand), settings.links_base_url)
        self._kept[tenant] = (version, found)
        self._kept.move_to_end(tenant)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    async def version(self) -> int:
        """Return the control plane's version as it was last seen; -1 if it was never."""
        return await self._version.current()
