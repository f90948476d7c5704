"""Schedules: against a walk along the minutes in every zone, and against cronsim where it is known to be right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.eligibility.moments import DAY, HOUR, MINUTE, at, moments, wall
from whisperer.journeys.schedule import MAX_CRON_CHARS, MAX_MISSED, Firing, Schedule, due_zones, validate

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def firings(cron: str, zone: str, after: str, until: str) -> list[int]:
    schedule, found = Schedule(cron), [at(after)]
    while found[-1] <= at(until):
        found.append(schedule.next_after(found[-1], zone))
    return found[1:-1]


@dataclass(frozen=True)
class Cron:
    """Fields as text and as what they mean."""

    minute: tuple[str, range | list[int]]
    hour: tuple[str, range | list[int]]
    weekday: tuple[str, list[int]]

    @property
    def text(self) -> str:
        return f"{self.minute[0]} {self.hour[0]} * * {self.weekday[0]}"

    @property
    def is_fixed(self) -> bool:
        return "*" not in self.minute[0] + self.hour[0]

    def matches(self, shown: datetime) -> bool:
        return (
            shown.minute in self.minute[1]
            and shown.hour in self.hour[1]
            and shown.isoweekday() % 7 in [day % 7 for day in self.weekday[1]]
        )


def a_field(top: int) -> st.SearchStrategy[tuple[str, list[int]]]:
    some = st.lists(st.integers(0, top - 1), min_size=1, max_size=3, unique=True)
    return st.one_of(
        some.map(lambda values: (",".join(map(str, values)), values)),
        st.just(("*", list(range(top)))),
        st.sampled_from([5, 15, 20]).map(lambda step: (f"*/{step}", list(range(0, top, step)))),
    )


# Clocks change between 23:00 and 04:00 with few exceptions.
hours = st.one_of(a_field(24), st.sampled_from([0, 1, 2, 3, 23]).map(lambda hour: (str(hour), [hour])))
weekdays = st.sampled_from([("*", list(range(7))), ("SUN", [0]), ("1-5", [1, 2, 3, 4, 5]), ("5-7", [5, 6, 7])])
crons = st.builds(Cron, a_field(60), hours, weekdays)


def naively_next(cron: Cron, after: int, zone: str, until: int) -> int | None:
    """Walk along the minutes: a fixed time fires when the clock first gets as far, a wildcard whenever it shows."""
    minute = after // MINUTE * MINUTE - DAY
    reached = wall(minute - MINUTE, zone)
    while minute <= until:
        shown = wall(minute, zone)
        new = [reached + timedelta(minutes=n + 1) for n in range((shown - reached) // timedelta(minutes=1))]
        fires = any(map(cron.matches, new)) if cron.is_fixed else cron.matches(shown)
        if fires and minute > after:
            return minute
        reached = max(reached, shown)
        minute += MINUTE
    return None


@given(crons, moments())
@settings(deadline=None, max_examples=150)
def test_the_next_instant_is_the_one_a_walk_along_the_minutes_finds(cron: Cron, moment: tuple[str, int]) -> None:
    zone, after = moment
    horizon = after + 2 * DAY
    found = Schedule(cron.text).next_after(after, zone)
    expected = naively_next(cron, after, zone, horizon)
    assert (found if found <= horizon else None) == expected
    assert found > after


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize(
    "cron",
    [
        "30 2 * * *",
        "0,30 1-3 * * *",
        "59 1 * * 7",
        "0 * * * *",
        "*/15 1-3 * * *",
        "*/30 2 * * *",
        "0 */3 * * *",
        "0 9 1,15 * MON",
        "0 0 L * *",
        "5 4 LW * *",
        "0 12 * 3 SUN#2",
    ],
)
def test_where_clocks_change_by_an_hour_a_year_is_cronsims(cron: str, zone: str) -> None:
    theirs, until = [], at("2027-01-01T00:00+00:00")
    for moment in CronSim(cron, datetime(2025, 12, 31, 12, tzinfo=ZoneInfo(zone))):
        if (instant := round(moment.timestamp() * 1000)) > until:
            break
        theirs.append(instant)
    start = datetime(2025, 12, 31, 12, tzinfo=ZoneInfo(zone)).isoformat()
    assert firings(cron, zone, start, "2027-01-01T00:00+00:00") == list(dict.fromkeys(theirs))


@pytest.mark.parametrize(
    ("cron", "zone", "after", "instants"),
    [
        # Forward: a fixed time that is left out fires at the jump, several together, a wildcard not at all.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("0,30 2 * * *", BERLIN, "2026-03-29T00:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-29T00:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("*/30 2 * * *", BERLIN, "2026-03-29T00:00+01:00", ["2026-03-30T02:00+02:00", "2026-03-30T02:30+02:00"]),
        ("30 * * * *", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08T00:00-05:00", ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
        # Back: a fixed time fires the first time it is shown, a wildcard each time.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:10+01:00", ["2026-10-26T02:30+01:00"]),
        ("30 * * * *", BERLIN, "2026-10-25T02:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25T02:45+02:00", ["2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01T00:00-04:00", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        ("30 */1 * * *", NEW_YORK, "2026-11-01T01:00-04:00", ["2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00"]),
        # Once a year, and then in the hour that is shown twice.
        ("*/30 2 25 10 *", BERLIN, "2026-10-25T02:45+02:00", ["2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"]),
        # Clocks put back by half an hour, where cronsim begins at 02:30.
        ("* 2 * * *", "Australia/Lord_Howe", "2026-04-05T00:00+11:00", ["2026-04-05T02:00+10:30"]),
        # A day that never was: its nine o'clock comes with the next day's first instant.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00-10:00", ["2011-12-31T00:00+14:00", "2011-12-31T09:00+14:00"]),
        # Unknown zones are UTC.
        ("0 9 * * *", "Mars/Phobos", "2026-03-29T00:00+00:00", ["2026-03-29T09:00+00:00"]),
        ("0 9 * * *", "", "2026-03-29T00:00+00:00", ["2026-03-29T09:00+00:00"]),
        ("0 0 29 2 *", BERLIN, "2026-01-01T00:00+01:00", ["2028-02-29T00:00+01:00", "2032-02-29T00:00+01:00"]),
    ],
)
def test_the_rule_for_changing_clocks(cron: str, zone: str, after: str, instants: list[str]) -> None:
    schedule, moment = Schedule(cron), at(after)
    for instant in instants:
        moment = schedule.next_after(moment, zone)
        assert moment == at(instant)


def test_the_next_instant_is_strictly_after_to_the_millisecond() -> None:
    nine = at("2026-06-01T09:00+02:00")
    for schedule in (Schedule("0 9 * * *"), Schedule("0 9-9 * * */1"), Schedule("*/60 9 * * *")):
        assert schedule.next_after(nine - 1, BERLIN) == nine
        assert schedule.next_after(nine - 999, BERLIN) == nine
        assert schedule.next_after(nine, BERLIN) > nine
        assert schedule.next_after(nine, BERLIN) == schedule.next_after(nine + 1, BERLIN)


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("", "five fields"),
        ("0 9 * *", "this one has 4"),
        ("*/10 0 9 * * *", "this one has 6"),  # seconds: nothing fires more often than each minute
        ("@daily", "this one has 1"),
        ("61 9 * * *", "the minute of the schedule"),
        ("0 24 * * *", "the hour of the schedule"),
        ("0 9 32 * *", "the day-of-month of the schedule"),
        ("0 9 * 13 *", "the month of the schedule"),
        ("0 9 * * 8", "the day-of-week of the schedule"),
        ("*/0 9 * * *", "the minute of the schedule"),
        ("٣ 9 * * *", "the minute of the schedule"),
        ("0 9 31 2 *", "never fires"),
        ("0 9 30,31 FEB *", "never fires"),
        ("0 9 31 4,6 *", "never fires"),
        ("0 9 */29 2 MON#5", "never fires"),  # the 1st or 30th of February that is its fifth Monday
        ("0 " + "9," * 100 + "9 * * *", f"at most {MAX_CRON_CHARS} characters"),
    ],
)
def test_what_cannot_fire_is_refused_with_a_sentence(cron: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        validate(cron)
    with pytest.raises(ValueError, match=told):
        Schedule(cron)


@given(st.text("0123456789*,-/#LWMONSUFEB \t\u0663\u00b2", max_size=30), st.integers(0, 2 * 10**12))
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_schedule_or_a_value_error(text: str, now: int) -> None:
    try:
        schedule = Schedule(text)
    except ValueError:
        return
    assert schedule.next_after(now, BERLIN) > now


@given(
    st.lists(st.sampled_from(["*", "1", "*/7", "2-5", "1,3", "31", "L", "MON#5", "FEB", "0"]), min_size=5, max_size=5)
)
@settings(deadline=None, max_examples=300)
def test_what_is_accepted_fires(fields: list[str]) -> None:
    cron = " ".join(fields)
    try:
        validate(cron)
    except ValueError:
        return
    now = at("2077-01-01T00:00+00:00")
    assert Schedule(cron).next_after(now, NEW_YORK) > now


# -- what is due ------------------------------------------------------------------------------------------------------

NINE = at("2026-06-01T09:00+02:00")
GRACE = 10 * MINUTE
DAILY = Schedule("0 9 * * *")


def test_each_users_zone_fires_by_itself() -> None:
    zones = [BERLIN, "Europe/London", "", "Mars/Phobos", "UTC"]
    last = dict.fromkeys(zones, NINE - HOUR)
    assert due_zones(DAILY, "user", zones, last, NINE - 1, GRACE) == []
    assert due_zones(DAILY, "user", zones, last, NINE, GRACE) == [Firing(BERLIN, NINE, False)]
    last[BERLIN] = NINE
    assert due_zones(DAILY, "user", zones, last, NINE + HOUR, GRACE) == [Firing("Europe/London", NINE + HOUR, False)]
    last["Europe/London"] = NINE + HOUR
    assert due_zones(DAILY, "user", zones, last, NINE + 2 * HOUR, GRACE) == [
        Firing(zone, NINE + 2 * HOUR, False) for zone in ("", "Mars/Phobos", "UTC")
    ]


def test_one_zone_for_all_fires_once_for_everyone() -> None:
    fired = due_zones(DAILY, BERLIN, ["America/New_York", ""], {"": NINE - DAY}, NINE + 5, GRACE)
    assert fired == [Firing(None, NINE, False)]
    assert due_zones(DAILY, BERLIN, ["America/New_York", ""], {"": NINE}, NINE + 5, GRACE) == []


def test_an_instant_fires_up_to_the_end_of_the_grace() -> None:
    last = {"": NINE - 1}
    assert due_zones(DAILY, BERLIN, [], last, NINE + GRACE, GRACE) == [Firing(None, NINE, False)]
    assert due_zones(DAILY, BERLIN, [], last, NINE + GRACE + 1, GRACE) == [Firing(None, NINE, True)]


def test_after_an_outage_only_the_newest_instant_fires() -> None:
    hourly = Schedule("0 * * * *")
    found = due_zones(hourly, BERLIN, [], {"": NINE}, NINE + 3 * HOUR + 5, GRACE)
    assert found == [
        Firing(None, NINE + 1 * HOUR, True),
        Firing(None, NINE + 2 * HOUR, True),
        Firing(None, NINE + 3 * HOUR, False),
    ]
    every_minute = due_zones(Schedule("* * * * *"), BERLIN, [], {"": NINE}, NINE + 3 * MINUTE, GRACE)
    assert [firing.misfired for firing in every_minute] == [True, True, False]


def test_a_zone_that_has_just_appeared_fires_for_what_is_within_the_grace() -> None:
    assert due_zones(DAILY, "user", [BERLIN], {}, NINE + GRACE, GRACE) == [Firing(BERLIN, NINE, False)]
    assert due_zones(DAILY, "user", [BERLIN], {}, NINE + GRACE + 1, GRACE) == []


def test_a_zone_given_twice_fires_once() -> None:
    assert len(due_zones(DAILY, "user", [BERLIN, BERLIN], {BERLIN: NINE - 1}, NINE, GRACE)) == 1


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,1,2,3 2 * * *", "* 2 * * SUN"]),
    moments(),
    st.integers(0, 9 * DAY),
)
@settings(deadline=None, max_examples=60)
def test_what_is_due_are_the_newest_instants_since_the_last(cron: str, moment: tuple[str, int], span: int) -> None:
    zone, last = moment
    schedule, now, every = Schedule(cron), last + span, [last]
    while every[-1] <= now:
        every.append(schedule.next_after(every[-1], zone))
    found = due_zones(schedule, "user", [zone], {zone: last}, now, GRACE)
    assert [firing.instant for firing in found] == every[1:-1][-1 - MAX_MISSED :]
    assert sum(not firing.misfired for firing in found) <= 1
    assert all(firing.misfired for firing in found[:-1])
    if found:
        assert found[-1].misfired == (now - found[-1].instant > GRACE)
