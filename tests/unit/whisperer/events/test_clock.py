"""When an event happened, as the client says it and as our clock corrects it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import NOW, ingest, track
from whisperer.events.clock import MAX_CLOCK_SKEW_MS, instant, skew

T = 1_795_395_322_000  # 2026-11-23T00:55:22Z


def iso(ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")


@pytest.mark.parametrize(
    ("stamp", "ms"),
    [
        ("2026-11-23T00:55:22Z", T),
        ("2026-11-23T00:55:22.675Z", T + 675),
        ("2026-11-23T00:55:22.675999Z", T + 675),
        ("2026-11-23T00:55:22.675999999Z", T + 675),
        ("2026-11-23T00:55:22.6Z", T + 600),
        ("2026-11-23T01:55:22.675+01:00", T + 675),
        ("2026-11-22T17:25:22-0730", T),
        ("2026-11-23T00:55:22", T),  # no zone: UTC
        ("2026-11-23 00:55:22Z", T),
        ("2026-11-23T00:55Z", T - 22_000),
        ("20261123T005522Z", T),
        ("2026-11-23", T - 3_322_000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
        ("9999-12-31T23:59:59.999-23:59", 253_402_387_139_999),
        (T, T),
        (T / 1_000, T),
        (T // 1_000, T),
        (1_795_395_322.675, T + 675),
        (0, 0),
        (-1, -1_000),
        (10**40, 10**40),
    ],
)
def test_a_timestamp_is_read_to_the_millisecond(stamp: str | float, ms: int) -> None:
    assert instant(stamp) == ms


@pytest.mark.parametrize(
    "stamp",
    ["", " ", "now", "2026", "2026-13-01", "2026-02-30T00:00:00Z", "2026-11-23T25:00:00Z",
     "Mon, 23 Nov 2026 00:55:22 GMT", "1795395322000", "٢٠٢٦-11-23", "2026-11-23T00:55:22Zulu", "true", "1e999", "\ud800"],
)  # fmt: skip
def test_what_is_no_timestamp_is_none(stamp: str) -> None:
    assert instant(stamp) is None


@given(
    st.datetimes(timezones=st.builds(lambda m: timezone(timedelta(minutes=m)), st.integers(-1439, 1439))),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_reading_agrees_with_exact_arithmetic(moment: datetime, precision: str) -> None:
    text = moment.isoformat(timespec=precision)
    exact = (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert instant(text) == exact


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_reading_never_raises(stamp: str | int | float) -> None:
    moment = instant(stamp)
    assert moment is None or isinstance(moment, int)


@pytest.mark.parametrize("stamp", ["yesterday", "", True, {}, ["2026-11-23"], False])
def test_an_unparsable_timestamp_keeps_the_event_at_its_receipt_and_is_counted(stamp: object) -> None:
    for member in ("timestamp", "originalTimestamp"):
        got = ingest(track(**{member: stamp}))
        assert got.only.timestamp == NOW
        assert got.notices == {"unparsable_timestamp": 1}
    got = ingest(b'{"event":"E","userId":"u","timestamp":1e999}')
    assert (got.only.timestamp, got.notices) == (NOW, {"unparsable_timestamp": 1})


def test_no_timestamp_means_the_receipt_and_is_not_counted() -> None:
    for event in (track(), track(timestamp=None), track(sentAt=iso(NOW - 999_999))):
        got = ingest(event)
        assert (got.only.timestamp, got.only.received, got.notices) == (NOW, NOW, {})


def test_original_timestamp_serves_where_timestamp_is_absent() -> None:
    assert ingest(track(originalTimestamp=iso(T))).only.timestamp == T
    assert ingest(track(originalTimestamp=iso(T), timestamp=None)).only.timestamp == T
    assert ingest(track(originalTimestamp=iso(T), timestamp=iso(T - 5))).only.timestamp == T - 5


@pytest.mark.parametrize("late", [-3_600_000, -5_001, 5_001, 86_400_000])
def test_a_clock_wrong_by_more_than_5_s_is_corrected(late: int) -> None:
    """The client's clock shows `late` ms less than ours; the event was a minute before it was sent."""
    sent = NOW - late
    got = ingest(track(timestamp=iso(sent - 60_000), sentAt=iso(sent)))
    assert got.only.timestamp == NOW - 60_000
    batched = ingest({"batch": [track(timestamp=iso(sent - 60_000))], "sentAt": iso(sent)}, "batch")
    assert batched.only.timestamp == NOW - 60_000


@pytest.mark.parametrize("late", [-5_000, -1, 0, 1, 5_000])
def test_a_difference_of_up_to_5_s_is_the_networks(late: int) -> None:
    sent = NOW - late
    assert ingest(track(timestamp=iso(sent - 60_000), sentAt=iso(sent))).only.timestamp == sent - 60_000


def test_the_events_own_sent_at_wins_over_the_batchs() -> None:
    own = track(timestamp=iso(NOW - 120_000), sentAt=iso(NOW - 60_000))
    got = ingest({"batch": [own, track(timestamp=iso(NOW - 120_000))], "sentAt": iso(NOW)}, "batch")
    assert sorted(one.timestamp for one in got.events) == [NOW - 120_000, NOW - 60_000]


def test_import_never_corrects() -> None:
    event = track(timestamp=iso(T - 10**10), sentAt=iso(T - 10**9))
    got = ingest({"batch": [event], "sentAt": iso(T - 10**9)}, "import")
    assert (got.only.timestamp, got.notices) == (T - 10**10, {})


@pytest.mark.parametrize("route", ["batch", "import"])
def test_a_time_in_the_future_becomes_the_receipt(route: str) -> None:
    for stamp in (iso(NOW + 1), iso(NOW + 10**12), 10**40, "9999-12-31T23:59:59Z"):
        got = ingest({"batch": [track(timestamp=stamp)]}, route)
        assert (got.only.timestamp, got.notices) == (NOW, {})


@pytest.mark.parametrize("stamp", ["1969-12-31T23:59:59.999Z", "0001-01-01", -5, -(10**40)])
def test_a_time_before_1970_becomes_the_receipt_and_is_counted(stamp: object) -> None:
    got = ingest(track(timestamp=stamp))
    assert (got.only.timestamp, got.notices) == (NOW, {"timestamp_before_1970": 1})
    assert ingest(track(timestamp="1970-01-01T00:00:00Z")).only.timestamp == 0


@pytest.mark.parametrize("sent_at", ["soon", "", True, {}])
def test_an_unparsable_sent_at_corrects_nothing_and_is_counted(sent_at: object) -> None:
    events = [track(timestamp=iso(T)), track(timestamp=iso(T))]
    got = ingest({"batch": events, "sentAt": sent_at}, "batch")
    assert ([one.timestamp for one in got.events], got.notices) == ([T, T], {"unparsable_sent_at": 1})
    got = ingest(track(timestamp=iso(T), sentAt=sent_at))
    assert (got.only.timestamp, got.notices) == (T, {"unparsable_sent_at": 1})


@given(
    received=st.integers(0, 4 * 10**12),
    sent=st.integers(0, 4 * 10**12),
    before=st.integers(0, 10**9),
)
def test_a_corrected_time_keeps_its_distance_to_the_sending(received: int, sent: int, before: int) -> None:
    correction = skew(received, iso(sent))
    assert correction is not None
    if abs(received - sent) > MAX_CLOCK_SKEW_MS:
        assert (sent - before) + correction == received - before
    else:
        assert correction == 0


@given(
    stamp=st.integers(-(10**14), 10**14) | st.datetimes().map(datetime.isoformat) | st.text(max_size=5),
    sent=st.integers(-(10**14), 10**14) | st.datetimes().map(datetime.isoformat) | st.none() | st.text(max_size=5),
    route=st.sampled_from(["batch", "import"]),
)
def test_event_time_is_always_between_1970_and_the_receipt(stamp: object, sent: object, route: str) -> None:
    got = ingest({"batch": [track(timestamp=stamp)], "sentAt": sent}, route)
    assert 0 <= got.only.timestamp <= NOW
