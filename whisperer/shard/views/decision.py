"""Define how a shard shows a decision."""

from __future__ import annotations

import msgspec


class LatestDecision(msgspec.Struct):
    """A recent decision. ``arm`` and ``propensity`` are None while nothing is chosen, and if it never was."""

    decision_id: str
    user: str
    """User key."""
    campaign: str
    arm: str | None
    propensity: float | None
    group: str | None
    status: str
    reason: str | None
    at: int
    """Ms UTC."""
