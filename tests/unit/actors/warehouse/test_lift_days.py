"""Users by the day on which their window closed: exact sums out of the warehouse, whoever a user was at the time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.warehouse import Warehouse
from actors.warehouse.lift_days import closed_by_day
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, Event, decision, erased, logged, record, refused
from whisperer.evaluation.lift import GroupTally
from whisperer.events.types import EventType
from whisperer.journeys.campaign import Arm, Campaign, Goal, OnEvent
from whisperer.shard.decision.outcomes import SKEW_MS

T0, HOUR = NEW_YEAR_2026, 3_600_000
DAY = T0 // DAY_MS
LATER = T0 + 90 * DAY_MS
ARMS = (Arm("email", "email", "hello", 1),)
PAID = Campaign("welcome", OnEvent("Started"), Goal("Paid", 86_400), ARMS)
REVENUE = Campaign("welcome", OnEvent("Started"), Goal("Paid", 86_400, "revenue", 100.0), ARMS)


def days(
    folder: Path, decisions: list[Any], events: list[Event], campaign: Campaign = PAID, until: int = LATER
) -> tuple[dict[tuple[int, str], GroupTally], int]:
    warehouse = Warehouse(folder, pseudonym_key=b"k")
    warehouse.export(0, 0, 10, [record(1, "acme", *events), logged(2, *decisions)])
    found, conflicted = closed_by_day(warehouse, "acme", campaign, until)
    return {(day, group): tally for day, group, tally in found}, conflicted


def paid(key: str, at: int, **more: Any) -> Event:
    return Event(key, "Paid", at, **more)


def test_a_user_counts_from_the_first_decision_for_as_long_as_the_window_lasts(tmp_path: Path) -> None:
    decisions = [
        decision("u:a", "dec_1", T0),
        decision("u:a", "dec_2", T0 + 20 * HOUR),
        decision("u:b", "dec_3", T0 + HOUR, group="holdout"),
        decision("u:c", "dec_4", T0, campaign="other"),
        refused("u:d", "dec_5", "no_consent", T0),
    ]
    ours = [T0 - SKEW_MS, T0 - SKEW_MS + 1, T0 + HOUR, T0 + DAY_MS, T0 + DAY_MS + 1]
    events = [*(paid("u:a", at) for at in ours), Event("u:a", "Else", T0), paid("u:c", T0), paid("u:d", T0)]
    found, conflicted = days(tmp_path, decisions, events)
    assert found == {
        (DAY + 1, "policy"): GroupTally(1, 3_000, 9_000_000, 3_000),
        (DAY + 1, "holdout"): GroupTally(1, 0, 0),
    }
    assert conflicted == 0


def test_a_window_that_is_open_waits(tmp_path: Path) -> None:
    found, _ = days(tmp_path, [decision("u:a", "dec_1", T0)], [paid("u:a", T0 + 1)], until=T0 + DAY_MS - 1)
    assert found == {}


def test_revenue_is_summed_in_thousandths_rounded_down_as_the_shard_does(tmp_path: Path) -> None:
    events = [paid("u:a", T0 + 1, revenue=1_999), paid("u:a", T0 + 2, revenue=-1), paid("u:a", T0 + 3, revenue=2**61)]
    found, _ = days(tmp_path, [decision("u:a", "dec_1", T0)], events, REVENUE)
    total = 1_999 // 1_000 + -1 // 1_000 + 2**61 // 1_000
    assert found == {(DAY + 1, "policy"): GroupTally(1, total, total**2, abs(total))}


def test_a_user_is_one_under_every_id_and_two_groups_are_a_conflict(tmp_path: Path) -> None:
    tied = [
        Event("u:ann", "Hello", T0, link="a:phone"),
        Event("u:new", "$alias", T0 + 5, kind=EventType.ALIAS, link="u:ann", payload='{"previousId": "ann"}'),
    ]
    decisions = [decision("a:phone", "dec_1", T0), decision("u:ann", "dec_2", T0 + HOUR)]
    found, conflicted = days(tmp_path / "one", decisions, [*tied, paid("u:new", T0 + HOUR), paid("a:phone", T0 + 1)])
    assert (found, conflicted) == ({(DAY + 1, "policy"): GroupTally(1, 2_000, 4_000_000, 2_000)}, 0)
    torn = [decision("a:phone", "dec_1", T0), decision("u:new", "dec_2", T0, group="holdout")]
    assert days(tmp_path / "two", torn, tied) == ({}, 1)


def test_an_erased_user_is_left_out(tmp_path: Path) -> None:
    days(tmp_path, [decision("u:a", "dec_1", T0), decision("u:b", "dec_2", T0)], [paid("u:a", T0 + 1)])
    warehouse = Warehouse(tmp_path, pseudonym_key=b"k")
    warehouse.erase("acme", erased("u:a"))
    found, _ = closed_by_day(warehouse, "acme", PAID, LATER)
    assert found == [(DAY + 1, "policy", GroupTally(1, 0, 0))]
    assert closed_by_day(warehouse, "other", PAID, LATER) == ([], 0)


moments = st.integers(0, 5 * DAY_MS)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), moments), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 4), moments, st.integers(-5_000, 10_000)), max_size=20),
)
def test_sums_are_those_counted_by_hand(
    tmp_path_factory: Any, asked: list[tuple[int, int]], bought: list[tuple[int, int, int]]
) -> None:
    groups = ["policy", "policy", "holdout", "uniform", "holdout"]
    decisions = [decision(f"u:{u}", f"dec_{n}", T0 + at, group=groups[u]) for n, (u, at) in enumerate(asked)]
    events = [Event("u:9", "Else"), *(paid(f"u:{u}", T0 + at, revenue=micros) for u, at, micros in bought)]
    found, _ = days(tmp_path_factory.mktemp("w"), decisions, events, REVENUE)
    expected: defaultdict[tuple[int, str], GroupTally] = defaultdict(GroupTally)
    for user in {u for u, _ in asked}:
        since = T0 + min(at for u, at in asked if u == user)
        held = [m // 1_000 for u, at, m in bought if u == user and since - SKEW_MS < T0 + at <= since + DAY_MS]
        expected[(since + DAY_MS) // DAY_MS, groups[user]] += GroupTally(1, sum(held), sum(held) ** 2, abs(sum(held)))
    assert found == expected
