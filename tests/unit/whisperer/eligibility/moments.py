"""Zones and instants for properties: every zone of the database, and instants near the changes of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ZONES = sorted(available_timezones())
NOTABLE = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # put back at 00:01 until 2011: a day that is shown, left and shown again
    "America/Sao_Paulo",  # changed at midnight: days without a midnight
    "Asia/Beirut",
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # left out a whole day in 2011
    "Antarctica/Casey",  # jumps by three hours, at odd times
    "Asia/Kathmandu",
    "UTC",
]
START, END = 946_684_800_000, 2_114_380_800_000  # 2000 to 2037


def wall(at: int, zone: str) -> datetime:
    """The clock of the standard library, by the shortest way."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    return moment.astimezone(ZoneInfo(zone) if zone in ZONES else UTC).replace(tzinfo=None)


def at(text: str) -> int:
    """ms of an ISO text with its offset."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def offset(at: int, zone: str) -> timedelta:
    return wall(at, zone) - wall(at, "UTC")


@cache
def changes(zone: str) -> tuple[int, ...]:
    """Within an hour after each of these the clock changes."""
    found = []
    for before, after in pairwise(range(START, END, 10 * DAY)):
        was = offset(before, zone)
        if was != offset(after, zone):
            while after - before > HOUR:
                middle = (before + after) // 2
                before, after = (middle, after) if offset(middle, zone) == was else (before, middle)
            found.append(before)
    return tuple(found)


zones = st.one_of(st.sampled_from(NOTABLE), st.sampled_from(ZONES), st.sampled_from(["", "Mars/Phobos"]))


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """(zone, instant), every other one within two days of a change of the clock."""
    zone = draw(zones)
    known = changes(zone)
    if known and draw(st.booleans()):
        return zone, draw(st.sampled_from(known)) + draw(st.integers(-DAY, 2 * DAY))
    return zone, draw(st.integers(START, END))
