"""Times are formatted to the millisecond, whatever the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from cluster.times import iso

LAST = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@given(st.integers(0, LAST))
@example(0)
@example(LAST)
@example(198_951_075_411_123)  # as seconds in a float it is a millisecond less
def test_a_time_is_what_datetime_makes_of_it(ms: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert iso(ms) == expected.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_no_time_stays_none() -> None:
    assert (iso(None), iso(-1)) == (None, None)
