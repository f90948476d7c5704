from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.importing.columns import Column
from cluster.importing.map_file import MapError, Timestamp
from cluster.importing.times import iso_texts, parse_instant, to_ms


def read(values: list[Any] | pa.Array, **rule: Any) -> list[str | None]:
    column = Column(values) if isinstance(values, pa.Array) else Column.of_values(values)
    ms, valid = to_ms(column, Timestamp(column="at", **rule))
    return [text if ok else None for text, ok in zip(iso_texts(ms), valid.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ([0, 714, None], {"unit": "hours", "origin": "2026-01-01T00:00Z"}, ["2026-01-01T00:00:00.000Z", "2026-01-30T18:00:00.000Z", None]),
        ([1.5], {"unit": "days", "origin": "2026-01-01"}, ["2026-01-02T12:00:00.000Z"]),
        ([1_767_225_600_123], {"unit": "milliseconds"}, ["2026-01-01T00:00:00.123Z"]),
        (["1767225600"], {"unit": "seconds"}, ["2026-01-01T00:00:00.000Z"]),
        (["1767225600", "soon"], {"unit": "seconds"}, ["2026-01-01T00:00:00.000Z", None]),
        (["12/01/2010 08:26", "x", None], {"format": "%m/%d/%Y %H:%M"}, ["2010-12-01T08:26:00.000Z", None, None]),
        (["2010-12-01 08:26:00.5"], {"format": "%Y-%m-%d %H:%M:%S.%f"}, ["2010-12-01T08:26:00.500Z"]),
        (["2026-01-01T10:00:00+02:00"], {}, ["2026-01-01T08:00:00.000Z"]),
        (["2026-01-01T10:00:00+02:00", "2026-01-01 10:00", "?"], {}, ["2026-01-01T08:00:00.000Z", "2026-01-01T10:00:00.000Z", None]),
        ([datetime(2010, 12, 1, 8, 26)], {}, ["2010-12-01T08:26:00.000Z"]),
        ([datetime(2010, 7, 1, 8, 26)], {"time_zone": "Europe/London"}, ["2010-07-01T07:26:00.000Z"]),
        ([date(2010, 12, 1)], {}, ["2010-12-01T00:00:00.000Z"]),
        ([10**18], {"unit": "days"}, [None]),
        ([datetime(1969, 12, 31, 23, 59), datetime(1970, 1, 1)], {}, [None, "1970-01-01T00:00:00.000Z"]),
    ],
)  # fmt: skip
def test_a_time_is_read_as_its_rule_says(values: list[Any], rule: dict[str, Any], expected: list[str | None]) -> None:
    assert read(values, **rule) == expected


@pytest.mark.parametrize("as_text", [False, True])
def test_a_local_time_that_occurs_twice_is_its_first_and_one_that_does_not_occur_is_the_jump(as_text: bool) -> None:
    twice, never = datetime(2026, 10, 25, 1, 30), datetime(2026, 3, 29, 1, 30)
    values: list[Any] = [twice, never]
    if as_text:
        values = [f"{v:%Y-%m-%dT%H:%M:%S}" for v in values] + ["not a time"]  # the last forces reading one by one
    assert read(values, time_zone="Europe/London")[:2] == ["2026-10-25T00:30:00.000Z", "2026-03-29T01:00:00.000Z"]


@settings(deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1)),
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_arrow_and_python_read_a_text_alike(moment: datetime, zone: str) -> None:
    text = moment.isoformat()
    together, alone = read([text], time_zone=zone), read([text, "not a time"], time_zone=zone)
    assert together[0] == alone[0]
    exact = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if exact.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == moment:
        assert (
            together[0]
            == f"{exact - timedelta(microseconds=exact.microsecond % 1000):%Y-%m-%dT%H:%M:%S}.{exact.microsecond // 1000:03}Z"
        )


def test_a_time_in_the_map_that_cannot_be_read_names_its_place() -> None:
    with pytest.raises(MapError, match=r"skip_when\[0\].before: 'soon'"):
        parse_instant("soon", "UTC", where="skip_when[0].before")
