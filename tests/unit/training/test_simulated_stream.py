"""The population's stream: repeatable, in order, valid, and shaped like people's days."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.unit.whisperer.events.ingesting import ingest
from training.simulator import Population, stream
from training.simulator.people import FEATURES, PHONE_SHARE, PUSH_SHARE
from training.simulator.segment import iso
from training.simulator.stream import Life, RatePace, SpeedPace
from training.simulator.visits import SESSION

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 70

Event = dict[str, Any]


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(11, 300, START)


@pytest.fixture(scope="module")
def events(population: Population) -> list[Event]:
    return list(stream(population, until=START + timedelta(days=DAYS)))


def bodies(events: list[Event]) -> list[bytes]:
    return [json.dumps({"batch": events[i : i + 500]}, allow_nan=False).encode() for i in range(0, len(events), 500)]


def named(events: list[Event], *names: str) -> list[Event]:
    return [e for e in events if e.get("event") in names]


def test_the_same_seed_gives_the_same_stream_and_another_seed_another() -> None:
    first, again, other = (list(islice(stream(Population(seed, 50, START)), 2_000)) for seed in (3, 3, 4))
    assert bodies(first) == bodies(again)
    assert {e["messageId"] for e in first}.isdisjoint(e["messageId"] for e in other)
    assert {e.get("userId") for e in first} & {e.get("userId") for e in other} <= {None}


@pytest.mark.parametrize("change", [{"n_users": 51}, {"start": START + timedelta(hours=1)}])
def test_a_stream_with_other_parameters_shares_no_message_id(change: dict[str, Any]) -> None:
    usual = {"seed": 3, "n_users": 50, "start": START}
    first, other = (list(islice(stream(Population(**o)), 500)) for o in (usual, {**usual, **change}))
    assert {e["messageId"] for e in first}.isdisjoint(e["messageId"] for e in other)


def test_message_ids_are_never_repeated_and_time_never_goes_back(events: list[Event]) -> None:
    assert len({e["messageId"] for e in events}) == len(events)
    times = [e["timestamp"] for e in events]
    assert times == sorted(times)


def test_every_event_is_accepted_by_ingestion_without_a_notice(events: list[Event]) -> None:
    assert len(events) > 10_000
    for body in bodies(events):
        ingested = ingest(body, "batch")
        assert ingested.status == 200
        assert ingested.rejected == []
        assert ingested.notices == {}
    assert all(len(e["messageId"]) < 100 and e["context"]["library"]["name"] for e in events)


def test_all_six_calls_and_every_part_of_a_users_life_occur(events: list[Event]) -> None:
    kinds = Counter(e["type"] for e in events)
    assert set(kinds) == {"track", "identify", "page", "screen", "group", "alias"}
    names = {e["event"] for e in named(events, *{e.get("event") for e in events if e["type"] == "track"})}
    assert names >= {*FEATURES, "Signed Up", "Onboarding Step Completed", "Onboarding Completed", "Trial Started"}
    assert names >= {"Trial Ended", "Order Completed", "Subscription Renewed", "Subscription Cancelled"}
    assert names >= {"Ticket Opened", "Ticket Resolved", "Plan Changed"}


def test_users_are_anonymous_first_and_identified_with_the_same_anonymous_id(events: list[Event]) -> None:
    anonymous: dict[str, str] = {}
    owner: dict[str, str] = {}
    for event in events:
        if "userId" not in event:
            assert event["anonymousId"] not in owner, "an identified browser or device stays identified"
            anonymous.setdefault(event["anonymousId"], event["timestamp"])
        elif "anonymousId" in event:
            owner.setdefault(event["anonymousId"], event["userId"])
            assert owner[event["anonymousId"]] == event["userId"]
    assert len(owner) > 200
    assert owner.keys() <= anonymous.keys(), "each was seen anonymously before"
    devices = Counter(owner.values())
    assert max(devices.values()) == 2, "users of the app have a browser and a device"


def test_identify_carries_the_traits(events: list[Event]) -> None:
    traits = [e["traits"] for e in events if e["type"] == "identify"]
    always = {"email", "name", "plan", "company", "locale", "timezone"}
    assert all(always <= t.keys() <= always | {"phone", "push_token"} for t in traits)
    assert all(t["email"].endswith(".example") for t in traits), "nobody real is ever written to"


def test_most_people_can_be_texted_or_pushed_and_some_cannot(events: list[Event]) -> None:
    traits = {e["userId"]: e["traits"] for e in events if e["type"] == "identify"}
    for name, share in (("phone", PHONE_SHARE), ("push_token", PUSH_SHARE)):
        having = [t[name] for t in traits.values() if name in t]
        assert len(having) / len(traits) == pytest.approx(share, abs=0.1)
        assert len(set(having)) > 0.98 * len(having)
    assert all(re.fullmatch(r"\+1[2-9]\d\d55501\d\d", t["phone"]) for t in traits.values() if "phone" in t)


def test_each_visit_of_a_known_user_begins_one_session_and_says_who_it_is(events: list[Event]) -> None:
    before: dict[str, Event] = {}
    sessions = named(events, SESSION)
    for event in events:
        if event.get("event") == SESSION:
            assert before[event["userId"]]["type"] == "identify"
        if "userId" in event:
            before[event["userId"]] = event
    dashboards = [e for e in events if e.get("name") == "Dashboard" and "userId" in e]
    assert len(dashboards) < len(sessions) < 2.5 * len(dashboards)


def test_an_alias_joins_a_lead_that_was_heard_of_before_or_never_to_its_user(events: list[Event]) -> None:
    aliases = [e for e in events if e["type"] == "alias"]
    assert aliases
    for alias in aliases:
        assert alias["previousId"].startswith("lead_")
        assert alias["previousId"].removeprefix("lead_") == alias["userId"].removeprefix("usr_")


def test_revenue_follows_the_plans_and_refunds_are_negative(events: list[Event]) -> None:
    price = {"starter": 19, "team": 49, "business": 199}
    for event in named(events, "Order Completed", "Subscription Renewed"):
        assert event["properties"]["revenue"] == price[event["properties"]["plan"]]
    paid: dict[str, int] = defaultdict(int)
    for event in named(events, "Order Completed", "Subscription Renewed", "Order Refunded"):
        paid[event["userId"]] += event["properties"]["revenue"]
    assert min(paid.values()) >= 0, "nothing is refunded that was not paid"


def test_renewals_come_every_thirty_days_while_a_user_pays(events: list[Event]) -> None:
    last: dict[str, datetime] = {}
    gaps = []
    for event in named(events, "Order Completed", "Subscription Renewed"):
        at = datetime.fromisoformat(event["timestamp"])
        if event["event"] == "Subscription Renewed":
            gaps.append(at - last[event["userId"]])
        last[event["userId"]] = at
    assert len(gaps) > 20
    assert all(timedelta(days=30) <= gap < timedelta(days=30, minutes=2) for gap in gaps)


def test_people_are_active_in_the_daytime_of_their_own_zone_and_less_at_weekends(events: list[Event]) -> None:
    by_zone: dict[str, Counter[int]] = defaultdict(Counter)
    by_weekday: Counter[int] = Counter()
    for event in events:
        if event["type"] in ("page", "screen"):
            local = datetime.fromisoformat(event["timestamp"]).astimezone(ZoneInfo(event["context"]["timezone"]))
            by_zone[event["context"]["timezone"]][local.hour] += 1
            by_weekday[local.weekday()] += 1
    large = {zone: hours for zone, hours in by_zone.items() if hours.total() > 400}
    assert len(large) >= 5
    for hours in large.values():
        day, night = sum(hours[h] for h in range(8, 19)), sum(hours[h] for h in range(0, 6))
        assert day > 0.55 * hours.total()
        assert night < 0.1 * hours.total()
    assert max(by_weekday[5], by_weekday[6]) < 0.8 * min(by_weekday[d] for d in range(5))


def test_churned_users_stop_for_good(population: Population, events: list[Event]) -> None:
    gone = dict(population.gone)
    end = iso(population.now_ms)
    assert len(gone) > 20
    for event in events:
        left_at = gone.get(event.get("userId", ""))
        assert left_at is None or event["timestamp"] <= iso(left_at) <= end
    cancelled = {e["userId"] for e in named(events, "Subscription Cancelled")}
    assert cancelled <= gone.keys()


def test_quiet_users_are_likelier_to_churn(population: Population, events: list[Event]) -> None:
    visits = Counter(e["userId"] for e in events if e["type"] in ("page", "screen") and "userId" in e)
    gone = {user for user, _ in population.gone}
    stayed = visits.keys() - gone
    assert sum(visits[u] for u in gone) / len(gone) < 0.8 * sum(visits[u] for u in stayed) / len(stayed)


def test_a_population_goes_on_from_a_snapshot_as_if_nothing_had_happened() -> None:
    whole = Life(Population(5, 80, START))
    expected = [json.dumps(next(whole)) for _ in range(6_000)]
    life = Life(Population(5, 80, START))
    for _ in range(4_000):
        next(life)
    kept = life.kept
    assert kept is not None
    assert 0 < kept.place < 4_000
    rest = json.loads(json.dumps(kept.rest))
    resumed = Life(Population.restored(5, 80, START, kept.arrays, rest), place=kept.place)
    assert [json.dumps(next(resumed)) for _ in range(6_000 - kept.place)] == expected[kept.place :]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_kept_whatever_the_simulated_time() -> None:
    clock = Clock()
    pace = RatePace(40.0, clock)
    taken = 0
    for _ in range(100):
        clock.now += 0.25
        while pace.wait_s(0) <= 1e-9:
            pace.took(0)
            taken += 1
    assert taken == pytest.approx(25 * 40, abs=2)


def test_after_a_long_pause_only_five_seconds_are_made_up_for() -> None:
    clock = Clock()
    pace = RatePace(40.0, clock)
    clock.now += 3_600
    taken = 0
    while pace.wait_s(0) <= 0:
        pace.took(0)
        taken += 1
    assert taken <= 40 * 5 + 2


def test_a_speed_maps_a_simulated_day_to_its_seconds() -> None:
    clock = Clock()
    pace = SpeedPace(10.0, clock)
    day_ms = 86_400_000
    assert pace.wait_s(0) == 0
    assert pace.wait_s(day_ms) == pytest.approx(10.0)
    clock.now += 10
    assert pace.wait_s(day_ms) == pytest.approx(0.0)
    clock.now += 600
    pace.took(day_ms)
    assert pace.wait_s(2 * day_ms) == pytest.approx(5.0), "the pause was cut to five seconds"
