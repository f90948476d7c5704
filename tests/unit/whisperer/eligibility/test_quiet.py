"""Quiet hours on the wall clock, against a reading minute by minute."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.eligibility.moments import MINUTE, at, moments, wall
from whisperer.eligibility.quiet import is_quiet, quiet_until
from whisperer.eligibility.rules import QuietHours

NIGHT = QuietHours(21 * 60, 8 * 60)


def quiet_minutes(quiet: QuietHours) -> set[int]:
    found, minute = set(), quiet.from_min
    while minute != quiet.until_min:
        found.add(minute)
        minute = (minute + 1) % 1_440
    return found


def naively_quiet(quiet: set[int], now: int, zone: str) -> bool:
    shown = wall(now, zone)
    return shown.hour * 60 + shown.minute in quiet


def naively_until(quiet: set[int], now: int, zone: str) -> int:
    while naively_quiet(quiet, now, zone):
        now = (now // MINUTE + 1) * MINUTE
    return now


hours = st.builds(QuietHours, st.integers(0, 1_439), st.integers(0, 1_439))


@given(hours, moments())
@settings(deadline=None, max_examples=200)
def test_quiet_hours_are_what_the_clock_shows_minute_by_minute(quiet: QuietHours, moment: tuple[str, int]) -> None:
    zone, now = moment
    minutes = quiet_minutes(quiet)
    assert is_quiet(quiet, now, zone) == naively_quiet(minutes, now, zone)
    assert quiet_until(quiet, now, zone) == naively_until(minutes, now, zone)


@pytest.mark.parametrize(
    ("now", "zone", "quiet"),
    [
        ("2026-06-01T20:59:59.999+02:00", "Europe/Berlin", False),
        ("2026-06-01T21:00:00+02:00", "Europe/Berlin", True),
        ("2026-06-02T07:59:59.999+02:00", "Europe/Berlin", True),
        ("2026-06-02T08:00:00+02:00", "Europe/Berlin", False),
        ("2026-06-02T08:00:00+02:00", "America/New_York", True),
        ("2026-06-02T08:00:00+00:00", "", False),
        ("2026-06-02T08:00:00+00:00", "No/Such_Zone", False),
    ],
)
def test_a_night_is_quiet_from_its_first_minute_to_before_its_last(now: str, zone: str, quiet: bool) -> None:
    assert is_quiet(NIGHT, at(now), zone) is quiet


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (NIGHT, "2026-06-01T23:00+02:00", "2026-06-02T08:00+02:00"),
        (NIGHT, "2026-06-01T12:00+02:00", "2026-06-01T12:00+02:00"),  # not quiet: now
        (NIGHT, "2026-03-28T23:00+01:00", "2026-03-29T08:00+02:00"),  # a night of ten hours
        (NIGHT, "2026-10-24T23:00+02:00", "2026-10-25T08:00+01:00"),  # and one of twelve
        (QuietHours(1_260, 150), "2026-03-28T23:00+01:00", "2026-03-29T03:00+02:00"),  # 02:30 is left out
        (QuietHours(1_260, 150), "2026-10-24T23:00+02:00", "2026-10-25T02:30+02:00"),  # the first 02:30
        (QuietHours(1_260, 150), "2026-10-25T02:10+01:00", "2026-10-25T02:30+01:00"),  # and quiet once more
    ],
)
def test_quiet_ends_by_the_clock_also_when_it_changes(quiet: QuietHours, now: str, until: str) -> None:
    assert quiet_until(quiet, at(now), "Europe/Berlin") == at(until)


def test_hours_that_begin_when_they_end_are_never_quiet() -> None:
    never = QuietHours(600, 600)
    assert not any(is_quiet(never, at("2026-06-01T00:00+00:00") + n * MINUTE, "UTC") for n in range(1_440))
