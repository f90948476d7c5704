"""Define the limits that a campaign sets on reaching one user."""

from __future__ import annotations

from typing import Literal

import msgspec

TRANSACTIONAL, MARKETING = "transactional", "marketing"
"""Purposes; others may be named. A transactional message needs no consent, but suppression stops it, and so do caps and
quiet hours that its campaign states."""


class Cap(msgspec.Struct, frozen=True):
    """Allow at most ``most`` messages in a period.

    ``per`` "rolling" is the last ``hours``; "day", "week" (from Monday) and "month" are calendar units in the user's
    zone. ``scope`` "campaign" counts this campaign's messages, "tenant" those of all campaigns, "channel" all on the
    arm's channel.
    """

    most: int
    per: Literal["rolling", "day", "week", "month"]
    hours: float = 0.0
    scope: Literal["campaign", "tenant", "channel"] = "campaign"


class QuietHours(msgspec.Struct, frozen=True):
    """Bound quiet time on the user's clock: [from, until) in minutes after midnight; may pass midnight."""

    from_min: int
    until_min: int
