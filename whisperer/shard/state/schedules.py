"""Track a tenant's scheduled campaigns in one shard: which instants have fired, and how far through the users each is.

A schedule fires in every shard independently, driven by Ticks. A firing is a *sweep*: it goes through the users in
slices, so that a Tick stays short. Each user's engagement remembers the last instant they were considered for, so a
sweep that meets them again (after a move) skips them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from whisperer.journeys.campaign import OnSchedule
from whisperer.journeys.schedule import due_zones
from whisperer.shard.state.live_campaigns import LiveCampaign

SLICE = 5_000
"""Users that a sweep goes through in one Tick."""

AT_ONCE = 200
"""Most candidates that sweeps make in one Tick: each takes a third of a millisecond, and the shard answers nothing
else meanwhile."""

MISFIRE_GRACE_MS = 3_600_000
NO_FIRING = 2**63 - 1


class FiringSweep(msgspec.Struct, array_like=True):
    """Track one firing's way through the users: rows from ``next_row`` up to ``end_row`` are still to come.

    ``zone`` is None for a schedule in one zone for all; ``instant`` is ms UTC.
    """

    campaign: str
    zone: str | None
    instant: int
    misfired: bool
    next_row: int
    end_row: int


class Schedules(msgspec.Struct, array_like=True):
    """Hold the state of a tenant's schedules in one shard. Instants are ms UTC.

    ``since``: campaign -> when it was first published here; nothing before that fires. ``last``: campaign -> zone ->
    last instant fired, or the instant after which the schedule applies; a schedule for all has the zone "". A zone not
    in ``last`` has just appeared: only what is within the grace period fires.
    """

    since: dict[str, int] = {}
    last: dict[str, dict[str, int]] = {}
    sweeps: list[FiringSweep] = []

    def publish(self, scheduled: Sequence[LiveCampaign], zones: Sequence[str], now: int) -> None:
        """Start new schedules now and end absent ones; one resumed after a pause skips the instants it missed."""
        names = {live.name for live in scheduled}
        for name in [n for n in self.since if n not in names]:
            del self.since[name]
            self.last.pop(name, None)
        for name in sorted(names - set(self.since)):
            self.since[name], self.last[name] = now, dict.fromkeys(zones, now)
        self.sweeps = [sweep for sweep in self.sweeps if sweep.campaign in names]

    def next_instant(self, scheduled: Sequence[LiveCampaign], zones: Sequence[str]) -> int:
        """Return when the next firing is due, ms UTC; NO_FIRING without schedules."""
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
        """Begin a sweep of ``n_rows`` rows for every instant that has come."""
        for live in scheduled:
            trigger = live.campaign.trigger
            assert isinstance(trigger, OnSchedule)
            assert live.schedule is not None
            last, appeared = self.last[live.name], max(self.since[live.name], now - MISFIRE_GRACE_MS - 1)
            for zone in zones:
                last.setdefault(zone, appeared)
            for firing in due_zones(live.schedule, trigger.zone, zones, last, now, MISFIRE_GRACE_MS):
                last[firing.zone or ""] = firing.instant
                self.sweeps.append(FiringSweep(live.name, firing.zone, firing.instant, firing.misfired, 0, n_rows))

    def catch_up(self, scheduled: Sequence[LiveCampaign], now: int, first_row: int, n_rows: int) -> None:
        """Sweep users who arrived with a partition, for instants that fired here within the grace period.

        A user considered for an instant at the old home already is skipped.
        """
        for live in scheduled:
            for zone, instant in self.last[live.name].items():
                if instant > self.since[live.name] and now - instant <= MISFIRE_GRACE_MS:
                    trigger = live.campaign.trigger
                    own = isinstance(trigger, OnSchedule) and trigger.zone == "user"
                    self.sweeps.append(FiringSweep(live.name, zone if own else None, instant, False, first_row, n_rows))
