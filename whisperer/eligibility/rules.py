"""The limits that a campaign puts on reaching one user."""

from __future__ import annotations

from typing import Literal

import msgspec

TRANSACTIONAL, MARKETING = "transactional", "marketing"
"""Purposes; others may be named. A transactional message needs no consent; suppression stops it too,
and so do caps and quiet hours where its campaign states any."""


class Cap(msgspec.Struct, frozen=True):
    """At most ``most`` messages.

    ``per`` "rolling": within the last ``hours``; "day", "week" (from Monday), "month": calendar units in the user's
    zone.
    ``scope`` "campaign" counts this campaign's messages, "tenant" those of all, "channel" all of the arm's channel.
    """

    most: int
    per: Literal["rolling", "day", "week", "month"]
    hours: float = 0.0
    scope: Literal["campaign", "tenant", "channel"] = "campaign"


class QuietHours(msgspec.Struct, frozen=True):
    """Local time of the user, minutes after midnight, [from, until); may pass midnight."""

    from_min: int
    until_min: int
