"""Remember what is needed of one user to compute the features that effects depend on.

Days are the simulation's: a person who gets a second message "a week later" has lived through that week, however little
real time it took. Only the hour is that of the clock which stamps events, the one that decisions about sending see. So
the truth knows a little more than a decision does, which sees compressed time and nothing from before its first day.
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.decisions.context import NAMES
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys import contact
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS

_WEEK = 7
_FORGOTTEN_DAYS = 60
_REMEMBERED = 64
_CHANNEL_TRAITS = [(channel.address.traits[0], name) for name, channel in CHANNELS.items() if channel.address.traits]


class History(msgspec.Struct, array_like=True):
    """One user's past: a week's ``day_to_events``; ``sends`` and ``engaged`` (opens and clicks) in simulated ms, newest
    last."""

    first_ms: int
    last_ms: int
    zone: str = "UTC"
    channels: list[str] = []
    day_to_events: dict[int, int] = {}
    revenue: float = 0.0
    sends: list[int] = []
    engaged: list[int] = []

    def lived(self, at_ms: int, event: dict[str, Any]) -> None:
        """Record one event of the user."""
        self.last_ms = max(self.last_ms, at_ms)
        today = at_ms // DAY_MS
        self.day_to_events[today] = self.day_to_events.get(today, 0) + 1
        if len(self.day_to_events) > _WEEK:
            self.day_to_events = {day: n for day, n in self.day_to_events.items() if day > today - _WEEK}
        self.zone = event.get("context", {}).get("timezone", self.zone)
        if event["type"] == "identify":
            self.channels = [channel for trait, channel in _CHANNEL_TRAITS if trait in event["traits"]]
        self.revenue += event.get("properties", {}).get("revenue", 0)

    def reached(self, at_ms: int) -> None:
        """Record a message that reached the user."""
        self.sends = [*self.sends, at_ms][-_REMEMBERED:]

    def took_notice(self, at_ms: int) -> None:
        """Record an open or a click."""
        self.engaged = [*self.engaged, at_ms][-_REMEMBERED:]

    def forgotten(self, at_ms: int) -> bool:
        """Return whether the user was last heard of so long ago that nobody expects an answer."""
        return self.last_ms < at_ms - _FORGOTTEN_DAYS * DAY_MS

    def features(self, at_ms: int, stamp_ms: int) -> list[float]:
        """Return features in the order of NAMES, as of simulated ``at_ms``, stamped ``stamp_ms``; NaN for unused
        ones."""
        today = at_ms // DAY_MS
        (sends_7d, hours_since_send, engaged_30d), _ = contact.counts(
            [("", at) for at in self.sends], [("", OutcomeKind.OPENED, at) for at in self.engaged], at_ms
        )
        value = {
            "events_7d": float(sum(n for day, n in self.day_to_events.items() if day > today - _WEEK)),
            "revenue": self.revenue,
            "tenure_days": (at_ms - self.first_ms) / DAY_MS,
            "sends_7d": sends_7d,
            "hours_since_send": hours_since_send,
            "engaged_30d": engaged_30d,
            "local_hour": contact.local_time(stamp_ms, self.zone)[0],
        }
        return [value.get(name, float("nan")) for name in NAMES]
