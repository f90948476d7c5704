"""Caps, against a count by dates that shares no code with the product."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.eligibility.moments import DAY, HOUR, MINUTE, at, moments, offset, wall
from whisperer.eligibility import caps
from whisperer.eligibility.caps import in_order, is_capped, record
from whisperer.eligibility.rules import Cap
from whisperer.eligibility.standing import MAX_SENDS, RETAIN_SENDS_MS, Sent, Standing


def sent(when: int | str, campaign: str = "tips", channel: str = "email", key: str = "") -> Sent:
    moment = at(when) if isinstance(when, str) else when
    return Sent(moment, campaign, channel, key or f"snd_{moment}")


def latest_date_shown(now: int, zone: str) -> date:
    """A day has begun once the clock has shown it, also where it then goes back into the day before."""
    if offset(now, zone) == offset(now - 4 * HOUR, zone):
        return wall(now, zone).date()
    return max(wall(now - n * MINUTE, zone).date() for n in range(4 * 60))


def first_date(cap: Cap, now: int, zone: str) -> date:
    today = wall(now, zone).date()
    if cap.per == "day":
        return today
    while (today.day != 1) if cap.per == "month" else (today.isoweekday() != 1):
        today -= timedelta(days=1)
    return today


def naively_capped(sends: list[Sent], cap: Cap, campaign: str, channel: str, now: int, zone: str) -> bool:
    counted = 0
    for one in sends:
        in_scope = {"campaign": one.campaign == campaign, "channel": one.channel == channel, "tenant": True}[cap.scope]
        if cap.per == "rolling":
            in_time = now - one.at < cap.hours * HOUR
        else:
            in_time = latest_date_shown(one.at, zone) >= first_date(cap, now, zone)
        counted += in_scope and in_time
    return counted >= cap.most


scopes = st.sampled_from(["campaign", "tenant", "channel"])
any_cap = st.one_of(
    st.builds(Cap, st.integers(0, 3), st.just("rolling"), st.sampled_from([0.5, 1, 24, 168]), scopes),
    st.builds(Cap, st.integers(0, 3), st.sampled_from(["day", "week", "month"]), st.just(0.0), scopes),
)
ages = st.one_of(
    st.integers(-HOUR, 3 * DAY),
    st.integers(0, 40 * DAY),
    st.sampled_from([HOUR // 2, HOUR, DAY, 7 * DAY]).flatmap(lambda age: st.integers(age - 1, age + 1)),
)
histories = st.lists(st.tuples(ages, st.sampled_from(["tips", "offer"]), st.sampled_from(["email", "sms"])), max_size=6)


@given(histories, any_cap, moments())
@settings(deadline=None, max_examples=400)
def test_caps_count_as_dates_do_in_every_zone(
    history: list[tuple[int, str, str]], cap: Cap, moment: tuple[str, int]
) -> None:
    zone, now = moment
    sends = in_order(sent(now - age, campaign, channel) for age, campaign, channel in history)
    assert is_capped(sends, [cap], "tips", "email", now, zone) == naively_capped(sends, cap, "tips", "email", now, zone)


@given(st.integers(0, 25 * 60), st.sampled_from(["2026-03-29T00:00+01:00", "2026-10-25T00:00+02:00"]))
@settings(deadline=None)
def test_a_day_of_23_or_25_hours_is_one_day(minutes: int, midnight: str) -> None:
    now = at(midnight) + minutes * MINUTE
    cap = Cap(1, "day")
    same_day = wall(now, "Europe/Berlin").date() == wall(at(midnight), "Europe/Berlin").date()
    assert is_capped([sent(midnight)], [cap], "tips", "email", now, "Europe/Berlin") == same_day
    assert not is_capped([sent(at(midnight) - 1)], [cap], "tips", "email", now, "Europe/Berlin")


def test_a_rolling_window_ends_after_exactly_its_hours() -> None:
    sends, cap = [sent("2026-06-01T12:00+00:00")], Cap(1, "rolling", 24)
    end = sends[0].at + 24 * HOUR
    assert is_capped(sends, [cap], "tips", "email", end - 1, "")
    assert not is_capped(sends, [cap], "tips", "email", end, "")


def test_a_week_begins_on_monday_where_the_user_is() -> None:
    sunday_in_tokyo = sent("2026-06-07T23:30+09:00")
    monday_in_tokyo = at("2026-06-08T00:00+09:00")
    weekly = [Cap(1, "week")]
    assert not is_capped([sunday_in_tokyo], weekly, "tips", "email", monday_in_tokyo, "Asia/Tokyo")
    assert is_capped([sunday_in_tokyo], weekly, "tips", "email", monday_in_tokyo, "America/New_York")


def test_who_flies_west_gets_no_second_message_for_the_same_date() -> None:
    in_tokyo = sent("2026-06-05T23:00+09:00")
    in_los_angeles = at("2026-06-05T20:00-07:00")
    assert is_capped([in_tokyo], [Cap(1, "day")], "tips", "email", in_los_angeles, "America/Los_Angeles")
    assert not is_capped([in_tokyo], [Cap(1, "day")], "tips", "email", in_los_angeles, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("scope", "campaign", "channel", "capped"),
    [
        ("campaign", "tips", "sms", True),
        ("campaign", "offer", "email", False),
        ("channel", "offer", "email", True),
        ("channel", "tips", "sms", False),
        ("tenant", "offer", "sms", True),
    ],
)
def test_a_scope_says_which_messages_count(scope: str, campaign: str, channel: str, capped: bool) -> None:
    sends = [sent("2026-06-01T12:00+00:00", "tips", "email")]
    cap = Cap(1, "day", scope=scope)  # type: ignore[arg-type]
    assert is_capped(sends, [cap], campaign, channel, sends[0].at + HOUR, "") is capped


def test_each_cap_can_refuse_by_itself_and_none_refuses_nobody() -> None:
    sends = [sent("2026-06-01T12:00+00:00")]
    now = sends[0].at + 1
    assert is_capped(sends, [Cap(5, "day"), Cap(1, "month")], "tips", "email", now, "")
    assert not is_capped(sends, [Cap(5, "day"), Cap(2, "month")], "tips", "email", now, "")
    assert not is_capped(sends, [], "tips", "email", now, "")
    assert is_capped([], [Cap(0, "day")], "tips", "email", now, "")


def test_a_message_is_noted_once_by_its_key() -> None:
    standing = Standing()
    first = sent(1_000, key="snd_a")
    assert record(standing, first)
    assert not record(standing, sent(2_000, key="snd_a"))
    assert standing.sends == [first]


@given(st.lists(st.tuples(st.integers(0, 2 * RETAIN_SENDS_MS), st.integers(0, 9)), max_size=12))
@settings(deadline=None)
def test_noted_messages_are_in_order_of_time_and_forgotten_when_no_cap_reaches_them(
    history: list[tuple[int, int]],
) -> None:
    standing = Standing()
    for when, key in history:
        record(standing, sent(when, key=f"snd_{key}"))
        newest = standing.sends[-1].at
        assert standing.sends == sorted(standing.sends, key=lambda one: (one.at, one.send_key))
        assert all(newest - one.at <= RETAIN_SENDS_MS for one in standing.sends)
        assert newest == max(one.at for one in standing.sends)
    assert len({one.send_key for one in standing.sends}) == len(standing.sends)


def test_at_most_the_newest_messages_are_kept() -> None:
    standing = Standing()
    for n in range(MAX_SENDS + 5):
        record(standing, sent(n, key=f"snd_{n}"))
    assert [one.at for one in standing.sends] == list(range(5, MAX_SENDS + 5))


def test_the_longest_calendar_window_is_retained() -> None:
    now = at("2026-07-31T23:59+14:00")
    assert now - caps.window_start(Cap(1, "month"), now, "Pacific/Kiritimati") < RETAIN_SENDS_MS
