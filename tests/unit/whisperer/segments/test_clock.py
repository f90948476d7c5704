"""When to ask again: never late, and not so early that every user is asked all the time."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings

from tests.unit.whisperer.segments.naive import is_member
from tests.unit.whisperer.segments.strategies import clocked_leaves, clocked_predicates, users
from tests.unit.whisperer.segments.users import DAY, FEATURES, HOUR, NOW, FakeRows, Spec, User
from whisperer.errors import InvariantError
from whisperer.segments import NEVER, compile, parse

HORIZON = NOW + 16 * DAY
MIDNIGHT = (NOW // DAY + 1) * DAY


def check_at(predicate: Any, user: User, now: int = NOW) -> int:
    _, times = compile(parse(predicate), FEATURES).evaluate(FakeRows([user], now))
    return int(times[0])


def every_moment_that_could_matter(predicate: dict[str, Any], user: User) -> list[int]:
    """Midnights, each hour, and the milliseconds around every anchor plus every number in the predicate."""
    anchors = [at for at in (user.last_seen, user.idle_since, user.first_seen) if at is not None]
    spans = [float(x) * unit for x in numbers_in(predicate) for unit in (DAY, HOUR) if abs(x) < 1e6]
    exact = [math.floor(anchor + span) + nudge for anchor in anchors for span in spans for nudge in (-1, 0, 1, 2)]
    hours = range(NOW + 1, HORIZON, 7 * HOUR)
    midnights = [MIDNIGHT + d * DAY + nudge for d in range(16) for nudge in (-1, 0, 1)]
    return sorted({t for t in (*exact, *hours, *midnights, NOW + 1) if NOW < t < HORIZON})


def numbers_in(node: Any) -> list[float]:
    if isinstance(node, dict):
        return [x for part in node.values() for x in numbers_in(part)]
    if isinstance(node, list):
        return [x for part in node for x in numbers_in(part)]
    return [node] if isinstance(node, int | float) and not isinstance(node, bool) else []


@given(clocked_predicates, users)
@example({"feature": "idle_days", "op": "gt", "value": 3}, User(idle_since=NOW - 3 * DAY))
@example({"not": {"feature": "idle_days", "op": "eq", "value": 3}}, User(idle_since=NOW - 3 * DAY))
@example({"feature": "idle_days", "op": "gte", "value": 0.1}, User(idle_since=NOW - 5))
@settings(max_examples=300)
def test_membership_never_changes_before_its_next_check(predicate: dict[str, Any], user: User) -> None:
    member = is_member(predicate, user, NOW)
    due = check_at(predicate, user)
    assert due > NOW
    for moment in every_moment_that_could_matter(predicate, user):
        if moment >= due:
            break
        assert is_member(predicate, user, moment) == member, f"changed {due - moment} ms before its check"


@given(clocked_leaves, users)
def test_following_the_checks_meets_every_change_in_few_steps(leaf: dict[str, Any], user: User) -> None:
    program = compile(parse(leaf), FEATURES)
    now, n_steps = NOW, 0
    while now < HORIZON:
        member, times = program.evaluate(FakeRows([user], now))
        due = int(times[0])
        for moment in (t for t in every_moment_that_could_matter(leaf, user) if now <= t < due):
            assert is_member(leaf, user, moment) == member[0]
        now, n_steps = due, n_steps + 1
        assert n_steps <= 20  # a midnight each, and a few around the flip of an elapsed feature


def test_not_seen_for_14_days_is_checked_at_that_very_millisecond() -> None:
    user = User(last_seen=NOW - 3 * DAY)
    for seen in ("within", "not_within"):
        assert check_at({"seen": seen, "days": 14}, user) == NOW + 11 * DAY
        assert check_at({"seen": seen, "days": 14}, User(last_seen=NOW - 14 * DAY)) == NEVER
        assert check_at({"seen": seen, "days": 14}, User()) == NEVER


def test_a_last_seen_near_the_end_of_time_does_not_overflow() -> None:
    assert check_at({"seen": "within", "days": 3650}, User(last_seen=NEVER - 1)) == NEVER


@pytest.mark.parametrize(
    ("op", "count", "n_done", "clocked"),
    [
        ("gte", 3, 3, True),
        ("gte", 3, 2, False),  # it only falls
        ("gte", 0, 2, False),
        ("gt", 2, 3, True),
        ("gt", 2, 2, False),
        ("lt", 3, 3, True),
        ("lt", 3, 2, False),
        ("lt", 0, 2, False),
        ("lte", 2, 3, True),
        ("lte", 2, 2, False),
        ("eq", 2, 3, True),
        ("eq", 2, 2, True),
        ("eq", 2, 1, False),
        ("eq", 0, 0, False),
        ("eq", 0, 1, True),
        ("ne", 0, 1, True),
        ("ne", 0, 0, False),
    ],
)
def test_a_windowed_count_is_checked_at_midnight_while_falling_can_change_it(
    op: str, count: int, n_done: int, clocked: bool
) -> None:
    user = User(events=(("Paid", NOW),) * n_done)
    leaf = {"event": "Paid", "op": op, "count": count}
    assert check_at(leaf | {"days": 7}, user) == (MIDNIGHT if clocked else NEVER)
    assert check_at(leaf, user) == NEVER


def test_at_midnight_itself_the_next_midnight_is_a_day_away() -> None:
    user = User(events=(("Paid", MIDNIGHT),))
    assert check_at({"event": "Paid", "days": 2}, user, MIDNIGHT) == MIDNIGHT + DAY


def test_an_elapsed_feature_is_checked_when_it_reaches_the_value() -> None:
    user = User(idle_since=NOW - DAY - 77, first_seen=NOW - 2 * HOUR)
    assert check_at({"feature": "idle_days", "op": "gte", "value": 30}, user) == NOW + 29 * DAY - 77
    assert check_at({"feature": "idle_days", "op": "gte", "value": 1}, user) == NEVER
    assert check_at({"feature": "tenure_hours", "op": "lt", "value": 48}, user) == NOW + 46 * HOUR
    assert check_at({"feature": "tenure_hours", "op": "lte", "value": 2}, user) == NOW + 1
    assert check_at({"feature": "idle_days", "op": "exists"}, user) == NEVER
    assert check_at({"feature": "idle_days", "op": "gte", "value": 30}, User()) == NEVER
    assert check_at({"feature": "idle_days", "op": "gte", "value": 1.7e308}, user) == NEVER


def test_a_feature_of_whole_days_is_checked_at_midnight() -> None:
    assert check_at({"feature": "week_events", "op": "gt", "value": 1}, User()) == MIDNIGHT
    assert check_at({"feature": "revenue", "op": "gt", "value": 1}, User()) == NEVER


def test_who_is_kept_out_by_a_trait_is_not_checked_for_the_clocks_of_the_rest() -> None:
    trait = {"trait": "plan", "op": "eq", "value": "pro"}
    seen = {"seen": "not_within", "days": 14}
    pro, free = User({"plan": "pro"}, last_seen=NOW), User({"plan": "free"}, last_seen=NOW)
    assert check_at({"all": [trait, seen]}, free) == NEVER
    assert check_at({"all": [trait, seen]}, pro) == NOW + 14 * DAY
    assert check_at({"any": [trait, seen]}, pro) == NEVER
    assert check_at({"any": [trait, seen]}, free) == NOW + 14 * DAY
    assert check_at({"not": {"all": [trait, seen]}}, free) == NEVER


def test_an_all_that_two_clocks_keep_false_waits_for_the_later_one() -> None:
    parts = [{"seen": "not_within", "days": 3}, {"seen": "not_within", "days": 5}]
    user = User(last_seen=NOW)
    assert check_at({"all": parts}, user) == NOW + 5 * DAY
    assert check_at({"any": parts}, user) == NOW + 3 * DAY


def test_an_elapsed_feature_in_an_unknown_unit_is_a_bug_said_loudly() -> None:
    features = {"idle": Spec("idle", "fortnights", "elapsed")}
    program = compile(parse({"feature": "idle", "op": "gt", "value": 1}), features)
    rows = FakeRows([User(idle_since=NOW)])
    rows.feature = lambda name: rows.last_seen().astype(float)  # type: ignore[method-assign]
    with pytest.raises(InvariantError, match="fortnights"):
        program.evaluate(rows)
