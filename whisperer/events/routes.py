"""Define the paths of the Tracking API and what each says about its body.

A path is ``/v1/<name>`` for every name in :data:`ROUTES`; the one-letter names are the browser SDK's.
"""

from __future__ import annotations

from enum import StrEnum

from whisperer.events.types import WIRE_TO_TYPE, EventType


class Route(StrEnum):
    TRACK = "track"
    IDENTIFY = "identify"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    ALIAS = "alias"
    BATCH = "batch"
    IMPORT = "import"

    @property
    def kind(self) -> EventType | None:
        """The type of every event on this route; None if each event names its own."""
        return WIRE_TO_TYPE.get(self.value)

    @property
    def is_batch(self) -> bool:
        return self is Route.BATCH or self is Route.IMPORT


ROUTES: dict[str, Route] = {route.value: route for route in Route} | {
    "t": Route.TRACK,
    "i": Route.IDENTIFY,
    "p": Route.PAGE,
    "s": Route.SCREEN,
    "g": Route.GROUP,
    "a": Route.ALIAS,
    "b": Route.BATCH,
}
