"""The wall clock and back, in every zone of the database."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings

from tests.unit.whisperer.eligibility.moments import DAY, HOUR, MINUTE, at, moments, wall
from whisperer.eligibility.local_time import first_instant, offset_ms, transition, wall_at


@given(moments())
@settings(deadline=None)
def test_the_clock_shows_what_the_standard_library_says(moment: tuple[str, int]) -> None:
    zone, now = moment
    assert wall_at(now, zone) == wall(now, zone)


@given(moments())
@settings(deadline=None)
def test_before_the_first_instant_of_a_time_the_clock_has_not_reached_it(moment: tuple[str, int]) -> None:
    zone, now = moment
    wanted = wall(now, zone)
    first = first_instant(wanted, zone)
    assert first <= now
    assert wall(first, zone) >= wanted
    assert max(wall(first - back, zone) for back in (1, MINUTE, HOUR, DAY)) < wanted


@pytest.mark.parametrize(
    ("zone", "shown", "instant"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T03:00+02:00"),  # left out: the jump
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T02:30+02:00"),  # twice: the first
        ("America/New_York", "2026-03-08T02:00", "2026-03-08T03:00-04:00"),
        ("America/New_York", "2026-11-01T01:59", "2026-11-01T01:59-04:00"),
        ("America/Sao_Paulo", "2017-10-15T00:00", "2017-10-15T01:00-02:00"),  # a day without a midnight
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-31T00:00+14:00"),  # a day that never was
        ("Mars/Phobos", "2026-03-29T02:30", "2026-03-29T02:30+00:00"),
        ("", "2026-03-29T02:30", "2026-03-29T02:30+00:00"),
        ("../../etc/passwd", "2026-03-29T02:30", "2026-03-29T02:30+00:00"),
        ("Europe", "2026-03-29T02:30", "2026-03-29T02:30+00:00"),
    ],
)
def test_times_left_out_are_reached_at_the_jump_and_times_shown_twice_the_first_time(
    zone: str, shown: str, instant: str
) -> None:
    assert first_instant(datetime.fromisoformat(shown), zone) == at(instant)


def test_a_change_of_the_clock_is_found_to_the_millisecond() -> None:
    change = at("2026-03-29T03:00+02:00")
    assert transition(change - DAY, change + DAY, "Europe/Berlin") == change
    assert transition(change - 1, change, "Europe/Berlin") == change
    assert offset_ms(change, "Europe/Berlin") - offset_ms(change - 1, "Europe/Berlin") == HOUR
    assert wall_at(change, "Europe/Berlin") - wall_at(change - 1, "Europe/Berlin") == timedelta(hours=1, milliseconds=1)
