"""What a shard wants done: intents with deterministic ids, carried out after their record is durable.

Nothing here is executed during recovery; what must survive a crash (messages) is held in the outbox and driven again.
"""

from __future__ import annotations

from dataclasses import dataclass

from whisperer.shard.records import Message


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver a message to its target's home, after those before it."""

    message: Message


@dataclass(frozen=True, slots=True)
class SegmentChanged:
    """A user entered or left a segment. The id is (tenant, user, segment, version, at, entered)."""

    tenant: str
    user: str
    segment: str
    version: int
    entered: bool
    at: int


@dataclass(frozen=True, slots=True)
class UserErased:
    """Rewrite the warehouse without this key."""

    tenant: str
    key: str


Effect = Send | SegmentChanged | UserErased
