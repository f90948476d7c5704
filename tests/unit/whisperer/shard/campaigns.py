"""Campaigns for tests of the shard: small, and one a trigger."""

from __future__ import annotations

from typing import Any

from whisperer.eligibility.rules import Cap
from whisperer.journeys.campaign import Arm, Campaign, Goal, OnEvent, OnRequest, OnSchedule, OnSegment, Trigger

MINUTE = 60_000
WINDOW_MS = 60 * MINUTE

MAIL = Arm("mail", "email", "hello", 1)
TEXT = Arm("text", "sms", "hello-sms", 1, cost=0.1)


def campaign(name: str = "nudge", trigger: Trigger | None = None, **more: Any) -> Campaign:
    """On the event `Looked`, hoping for `Bought` within an hour, by mail or text."""
    given = {"goal": Goal("Bought", WINDOW_MS / 1000), "arms": (MAIL, TEXT), **more}
    return Campaign(name, trigger or OnEvent("Looked"), **given)


BY_EVENT = campaign()
BY_SEGMENT = campaign("welcome", OnSegment("pros"))
DAILY = campaign("daily", OnSchedule("0 9 * * *", "user"), caps=(Cap(1, "day", scope="tenant"),))
ON_REQUEST = campaign("asked", OnRequest(), goal=Goal("Bought", 3600, "revenue", cap=100.0))

ADDRESSES = {"email": "ann@example.com", "phone": "+4915112345678"}
