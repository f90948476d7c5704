"""Compute contact features: what passed between us and a user as of a moment, and the user's wall clock.

Takes plain facts (what was sent when, what was opened or clicked), so that a shard, a simulation and a table of logged
messages count alike. Guarantees: the same facts give the same values everywhere. Leaves to others: where the facts are
kept (:func:`of_engagement` takes them from a user's engagement, which holds the newest candidacies).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whisperer.decisions.context import of_channel
from whisperer.eligibility.local_time import wall_at
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys.engagement import Engagement
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS, HOUR_MS

_NAN = math.nan


@dataclass(frozen=True, slots=True)
class ContactSpec:
    """Describe a feature that has no column, otherwise like :class:`whisperer.profiles.features.FeatureSpec`."""

    name: str
    unit: str
    description: str
    version: int = 1


def _of_channel(channel: str) -> tuple[ContactSpec, ...]:
    sends, opens, clicks, hours = of_channel(channel)
    return (
        ContactSpec(sends, "messages", f"sent by {channel} within 30 days"),
        ContactSpec(opens, "events", f"opens of messages by {channel} within 30 days"),
        ContactSpec(clicks, "events", f"clicks in messages by {channel} within 30 days"),
        ContactSpec(hours, "hours", f"since the last message by {channel}; absent: never"),
    )


OVERALL = (
    ContactSpec("sends_7d", "messages", "sent within 7 days, by any channel"),
    ContactSpec("hours_since_send", "hours", "since the last message by any channel; absent: never"),
    ContactSpec("engaged_30d", "events", "opens and clicks within 30 days"),
)
CLOCK = (
    ContactSpec("local_hour", "hours", "of the user's wall clock, 0 to 23.99"),
    ContactSpec("local_weekday", "days", "of the user's wall clock, 0 Monday"),
)
BY_CHANNEL = tuple(spec for channel in CHANNELS for spec in _of_channel(channel))
CONTACT: dict[str, ContactSpec] = {spec.name: spec for spec in (*OVERALL, *CLOCK, *BY_CHANNEL)}

_NOTHING_OVERALL = (0.0, _NAN, 0.0)
_NOTHING_BY_CHANNEL = [0.0, 0.0, 0.0, _NAN] * len(CHANNELS)
_PLACE = {channel: 4 * place for place, channel in enumerate(CHANNELS)}


def counts(
    sends: Sequence[tuple[str, int]], noticed: Iterable[tuple[str, str, int]], now: int
) -> tuple[tuple[float, float, float], list[float]]:
    """Return the values of :data:`OVERALL` and of :data:`BY_CHANNEL` as of ``now`` (ms UTC).

    Parameters
    ----------
    sends : (channel, ms UTC) in order of time
    noticed : (channel, ``opened`` or ``clicked``, ms UTC). An unknown channel counts only overall, here and in sends
    """
    if not sends and not noticed:
        return _NOTHING_OVERALL, _NOTHING_BY_CHANNEL
    by_channel = list(_NOTHING_BY_CHANNEL)
    week, month = now - 7 * DAY_MS, now - 30 * DAY_MS
    n_week = n_engaged = 0
    for channel, at in sends:
        n_week += at > week
        place = _PLACE.get(channel)
        if place is not None:
            by_channel[place] += at > month
            by_channel[place + 3] = max(0, now - at) / HOUR_MS
    for channel, kind, at in noticed:
        if at > month:
            n_engaged += 1
            place = _PLACE.get(channel)
            if place is not None:
                by_channel[place + (1 if kind == OutcomeKind.OPENED else 2)] += 1
    since = max(0, now - sends[-1][1]) / HOUR_MS if sends else _NAN
    return (float(n_week), since, float(n_engaged)), by_channel


def local_time(now: int, zone: str) -> tuple[float, float]:
    """Return the values of :data:`CLOCK`: hour and weekday where the user is."""
    local = wall_at(now, zone)
    return local.hour + local.minute / 60, float(local.weekday())


def of_engagement(
    held: Engagement | None,
) -> tuple[list[tuple[str, int]], list[tuple[str, str, int]]]:
    """Return (sends, noticed) for :func:`counts` from a user's engagement; both empty for None."""
    if held is None:
        return [], []
    noticed: list[tuple[str, str, int]] = [
        ("" if decision.send is None else decision.send.channel, outcome.kind, outcome.at)
        for decision in held.decisions
        for outcome in decision.outcomes
        if outcome.kind in (OutcomeKind.OPENED, OutcomeKind.CLICKED)
    ]
    return [(sent.channel, sent.at) for sent in held.standing.sends], noticed
