"""The six calls of Segment's Tracking API, and the names under which each is counted.

A track event is counted under its own ``event``; the other calls under a reserved name that starts with ``$``.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class EventType(IntEnum):
    TRACK = 1
    IDENTIFY = 2
    PAGE = 3
    SCREEN = 4
    GROUP = 5
    ALIAS = 6

    @property
    def wire(self) -> str:
        return self.name.lower()


WIRE_TO_TYPE = {t.wire: t for t in EventType}

RESERVED_NAME = {t: f"${t.wire}" for t in EventType if t is not EventType.TRACK}


class Flag(IntFlag):
    """What a shard must look at beside the columns; zero for the plain event."""

    INACTIVE = 1  # context.active is false: traits change, last-seen does not
    TRAITS = 2  # the payload carries traits (identify, or context.traits)
    LINK = 4  # a second id comes with it: `links` of the block names it
    HISTORICAL = 8  # came through /v1/import
