"""Who is a member: the vectorised program against a plain interpreter, and what a program says about itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.segments.naive import is_member
from tests.unit.whisperer.segments.strategies import predicates, users
from tests.unit.whisperer.segments.users import DAY, FEATURES, NOW, FakeRows, User
from whisperer.segments import NEVER, PredicateError, canonical, compile, parse


def members(predicate: Any, *people: User) -> list[bool]:
    member, _ = compile(parse(predicate), FEATURES).evaluate(FakeRows(people))
    return [bool(one) for one in member]


@given(predicates, st.lists(users, max_size=5))
def test_a_program_agrees_with_a_plain_reading_of_the_json(predicate: dict[str, Any], people: list[User]) -> None:
    member, check_at = compile(parse(predicate), FEATURES).evaluate(FakeRows(people))
    assert member.dtype == np.bool_
    assert check_at.dtype == np.int64
    assert member.shape == check_at.shape == (len(people),)
    assert member.tolist() == [is_member(predicate, user, NOW) for user in people]


@given(predicates, st.lists(users, max_size=5))
def test_the_canonical_form_has_the_same_members_and_checks_no_later(predicate: Any, people: list[User]) -> None:
    written = parse(predicate)
    rows = FakeRows(people)
    before, _ = compile(written, FEATURES).evaluate(rows)
    after, _ = compile(canonical(written), FEATURES).evaluate(rows)
    assert before.tolist() == after.tolist()


def test_did_it_at_least_three_times_in_seven_days_counts_whole_days_with_today() -> None:
    start = (NOW // DAY - 6) * DAY
    did = User(events=tuple(("Paid", start) for _ in range(3)))
    earlier = User(events=(("Paid", start), ("Paid", start), ("Paid", start - 1)))
    assert members({"event": "Paid", "count": 3, "days": 7}, did, earlier) == [True, False]


def test_did_not_do_it_is_a_count_of_zero() -> None:
    assert members({"event": "Paid", "op": "eq", "count": 0, "days": 14}, User(), User(events=(("Paid", NOW),))) == [
        True,
        False,
    ]


def test_not_seen_for_14_days_begins_at_exactly_that_many_milliseconds() -> None:
    at, just_after = User(last_seen=NOW - 14 * DAY), User(last_seen=NOW - 14 * DAY + 1)
    assert members({"seen": "not_within", "days": 14}, at, just_after, User()) == [True, False, True]
    assert members({"seen": "within", "days": 14}, at, just_after, User()) == [False, True, False]


def test_a_user_never_seen_is_not_within_even_when_the_clock_has_just_begun() -> None:
    member, _ = compile(parse({"seen": "within", "days": 14}), FEATURES).evaluate(FakeRows([User()], now=5))
    assert member.tolist() == [False]


def test_everybody_is_all_of_nothing() -> None:
    assert members({"all": []}, User(), User()) == [True, True]
    assert members({"not": {"all": []}}, User(), User()) == [False, False]


def test_an_absent_feature_passes_only_ne_and_not_exists() -> None:
    ops = ("eq", "ne", "gt", "gte", "lt", "lte")
    assert [members({"feature": "revenue", "op": op, "value": 0}, User())[0] for op in ops] == [
        op == "ne" for op in ops
    ]
    assert members({"feature": "revenue", "op": "exists"}, User(), User(revenue=0.0)) == [False, True]
    assert members({"feature": "revenue", "op": "not_exists"}, User(), User(revenue=0.0)) == [True, False]


def test_equal_leaves_are_asked_once() -> None:
    leaf = {"trait": "plan", "op": "eq", "value": "pro"}
    rows = FakeRows([User()])
    program = compile(parse({"all": [leaf, {"any": [leaf, {"not": leaf | {"trait": "/plan"}}]}]}), FEATURES)
    program.evaluate(rows)
    assert len(rows.tested) == len(program.trait_tests) == 1


def test_a_program_names_what_it_depends_on() -> None:
    program = compile(
        parse(
            {
                "all": [
                    {"trait": "/company/plan", "op": "exists"},
                    {"event": "Paid"},
                    {"not": {"event": "Left", "days": 3}},
                    {"feature": "revenue", "op": "gt", "value": 1},
                    {"seen": "within", "days": 1},
                ]
            }
        ),
        FEATURES,
    )
    assert [test.trait for test in program.trait_tests] == ["company"]
    assert program.events == {"Paid", "Left"}
    assert program.features == {"revenue"}
    assert program.uses_last_seen
    assert program.uses_clock
    still = compile(parse({"all": [{"event": "Paid"}, {"feature": "revenue", "op": "gt", "value": 1}]}), FEATURES)
    assert not still.uses_last_seen
    assert not still.uses_clock


def test_unknown_features_are_all_named_when_compiling() -> None:
    predicate = parse(
        {"any": [{"feature": "revnue", "op": "gt", "value": 1}, {"not": {"feature": "x", "op": "exists"}}]}
    )
    with pytest.raises(PredicateError) as caught:
        compile(predicate, FEATURES)
    assert [(e["pointer"], e["code"]) for e in caught.value.errors] == [
        ("/any/0/feature", "unknown_feature"),
        ("/any/1/not/feature", "unknown_feature"),
    ]
    assert "revenue" in caught.value.errors[0]["message"]


def test_the_answer_may_be_written_to_though_the_rows_own_arrays_may_not() -> None:
    member, check_at = compile(parse({"trait": "plan", "op": "exists"}), FEATURES).evaluate(FakeRows([User()]))
    member[0] = True
    check_at[0] = 1


def test_an_empty_batch_has_no_members() -> None:
    member, check_at = compile(parse({"event": "Paid", "days": 1}), FEATURES).evaluate(FakeRows([]))
    assert member.shape == check_at.shape == (0,)


def test_without_a_clock_nobody_is_checked_again() -> None:
    _, check_at = compile(parse({"event": "Paid"}), FEATURES).evaluate(
        FakeRows([User(), User(events=(("Paid", NOW),))])
    )
    assert check_at.tolist() == [NEVER, NEVER]
