"""Scheduled campaigns of a tenant in one shard: which instants have fired, and how far through the users each is.

A schedule fires in every shard by itself, driven by Ticks. A firing is a *sweep*: it goes through the users in slices,
so that a Tick stays short. A user remembers the last instant it was considered for, so a sweep that meets it again
(after a move) passes over it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whisperer.journeys.campaign import OnSchedule
from whisperer.journeys.schedule import due_zones
from whisperer.shard.live_campaigns import LiveCampaign

SLICE = 5_000
"""Users looked at in one Tick of a sweep."""

AT_ONCE = 200
"""Candidates that sweeps make in one Tick: a third of a millisecond each, during which nothing else is answered."""

MISFIRE_GRACE_MS = 3_600_000
NO_FIRING = 2**63 - 1


class Sweep(msgspec.Struct, array_like=True):
    """``zone`` is None for a schedule in one zone for all. Rows from ``next_row`` to ``end_row`` are still to come."""

    campaign: str
    zone: str | None
    instant: int
    misfired: bool
    next_row: int
    end_row: int


class Schedules(msgspec.Struct, array_like=True):
    """``since``: campaign -> when it was first published here (nothing before fires).
    ``last``: campaign -> zone -> last instant fired, or an earlier one after which the schedule holds; the zone of a
    schedule for all is "". A zone that is not in it has just appeared: only what is within the grace fires.
    """

    since: dict[str, int] = {}
    last: dict[str, dict[str, int]] = {}
    sweeps: list[Sweep] = []

    def publish(self, scheduled: Sequence[LiveCampaign], zones: Sequence[str], now: int) -> None:
        """Schedules that are new begin now; a paused one that goes on does not make up for what it missed."""
        names = {live.name for live in scheduled}
        for name in [n for n in self.since if n not in names]:
            del self.since[name]
            self.last.pop(name, None)
        for name in sorted(names - set(self.since)):
            self.since[name], self.last[name] = now, dict.fromkeys(zones, now)
        self.sweeps = [sweep for sweep in self.sweeps if sweep.campaign in names]

    def next_instant(self, scheduled: Sequence[LiveCampaign], zones: Sequence[str]) -> int:
        """When the next firing is due, NO_FIRING without schedules."""
        found = NO_FIRING
        for live in scheduled:
            trigger = live.campaign.trigger
            assert isinstance(trigger, OnSchedule)
            assert live.schedule is not None
            since, last = self.since[live.name], self.last[live.name]
            for zone in zones if trigger.zone == "user" else [""]:
                named = zone if trigger.zone == "user" else trigger.zone
                found = min(found, live.schedule.next_after(last[zone], named) if zone in last else since)
        return found

    def fire(self, scheduled: Sequence[LiveCampaign], zones: Sequence[str], now: int, n_rows: int) -> None:
        """Begin a sweep for every instant that has come."""
        for live in scheduled:
            trigger = live.campaign.trigger
            assert isinstance(trigger, OnSchedule)
            assert live.schedule is not None
            last, appeared = self.last[live.name], max(self.since[live.name], now - MISFIRE_GRACE_MS - 1)
            for zone in zones:
                last.setdefault(zone, appeared)
            for firing in due_zones(live.schedule, trigger.zone, zones, last, now, MISFIRE_GRACE_MS):
                last[firing.zone or ""] = firing.instant
                self.sweeps.append(Sweep(live.name, firing.zone, firing.instant, firing.misfired, 0, n_rows))

    def catch_up(self, scheduled: Sequence[LiveCampaign], now: int, first_row: int, n_rows: int) -> None:
        """Users arrived with a partition: instants that fired lately, here or where they came from, are theirs too."""
        for live in scheduled:
            for zone, instant in self.last[live.name].items():
                if instant > self.since[live.name] and now - instant <= MISFIRE_GRACE_MS:
                    trigger = live.campaign.trigger
                    own = isinstance(trigger, OnSchedule) and trigger.zone == "user"
                    self.sweeps.append(Sweep(live.name, zone if own else None, instant, False, first_row, n_rows))
