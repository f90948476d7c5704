"""Define the six calls of Segment's Tracking API and the names under which they are counted.

A track event is counted under its own ``event``, the other calls under a reserved name that starts with ``$``.
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
    """Flag what a shard must look at besides the columns; zero for an ordinary event."""

    INACTIVE = 1  # context.active is false: traits change, last-seen does not
    TRAITS = 2  # the payload states traits: `traits` of identify or group, `context.traits` of identify
    LINK = 4  # carries a second id, which the block's text holds
    HISTORICAL = 8  # came through /v1/import
