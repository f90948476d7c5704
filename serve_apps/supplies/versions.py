"""Knows whether the control plane has changed: looked at when something is to be rendered, at most every half second.

If the control plane does not answer, the version stays what it was. Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from actors.telemetry.logs import Seldom

POLL_INTERVAL_S = 0.5
LOOK_PATIENCE_S = 1.0

_log = logging.getLogger(__name__)


class Versioned(Protocol):
    def version(self) -> int:
        """Return the change counter; blocks."""


class PlaneVersion:
    """The control plane's version as it was last seen, -1 before that."""

    def __init__(self, plane: Versioned, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        self._plane = plane
        self._poll_interval_s = poll_interval_s
        self._version = -1
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._seldom = Seldom(_log)

    async def current(self) -> int:
        """Look whether something may have changed, and return the version; a control plane that hangs holds up one
        caller a look.
        """
        if self._looking is None or self._looking.done():
            if asyncio.get_running_loop().time() - self._looked_at < self._poll_interval_s:
                return self._version
            self._looking = asyncio.ensure_future(self._ask())
            await asyncio.wait({self._looking}, timeout=LOOK_PATIENCE_S)
        return self._version

    async def _ask(self) -> None:
        try:
            self._version = await asyncio.to_thread(self._plane.version)
        except Exception as error:
            message = "the control plane does not answer; what is known already stays as it is: %r"
            self._seldom.log(logging.WARNING, "version", message, error.__cause__ or error)
        self._looked_at = asyncio.get_running_loop().time()
