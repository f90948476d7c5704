"""From JSON to a predicate, and every problem named at its place."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given

from tests.unit.whisperer.segments.strategies import predicates
from whisperer.segments import (
    AllOf,
    EventLeaf,
    PredicateError,
    SeenLeaf,
    TraitLeaf,
    limits,
    parse,
    parse_json,
    to_json,
)


def problems(obj: object, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(PredicateError) as caught:
        parse(obj, **kwargs)
    assert all(e["message"] for e in caught.value.errors)
    return [(e["pointer"], e["code"]) for e in caught.value.errors]


@given(predicates)
def test_a_predicate_comes_back_from_its_json_form(predicate: dict[str, Any]) -> None:
    parsed = parse(predicate)
    assert parse(to_json(parsed)) == parsed
    assert hash(parse(to_json(parsed))) == hash(parsed)


def test_defaults_are_at_least_once_ever() -> None:
    assert parse({"event": "Paid"}) == EventLeaf("Paid", "gte", 1, None)
    assert parse({"event": "Paid", "days": None}) == parse({"event": "Paid"})
    assert to_json(parse({"event": "Paid"})) == {"event": "Paid", "op": "gte", "count": 1}


def test_json_text_is_read_the_same() -> None:
    assert parse_json(b'{"all": [{"seen": "within", "days": 3.0}]}') == AllOf((SeenLeaf("within", 3),))


def test_one_and_true_are_two_predicates_but_one_and_one_point_zero_are_not() -> None:
    one, whole, true = (parse({"trait": "n", "op": "eq", "value": value}) for value in (1, 1.0, True))
    assert one == whole
    assert one != true
    assert len({one, whole, true}) == 2
    assert parse({"trait": "n", "op": "in", "value": [1]}) != parse({"trait": "n", "op": "in", "value": [True]})


def test_every_problem_is_named_not_just_the_first() -> None:
    predicate = {
        "all": [
            {"trait": "plan", "op": "equals", "value": "pro"},
            {"any": [{"trait": "", "op": "gt", "value": "7"}, {"event": "Paid", "days": 91, "count": -1}]},
            {"not": {"seen": "recently"}},
            {"feature": "revenue", "op": "gte", "value": float("inf"), "unit": "USD"},
        ]
    }
    assert problems(predicate) == [
        ("/all/0/op", "unknown_operator"),
        ("/all/1/any/0/trait", "empty"),
        ("/all/1/any/0/value", "invalid_type"),
        ("/all/1/any/1/count", "out_of_range"),
        ("/all/1/any/1/days", "out_of_range"),
        ("/all/2/not/seen", "unknown_operator"),
        ("/all/2/not", "missing_field"),
        ("/all/3/unit", "unknown_field"),
        ("/all/3/value", "not_finite"),
    ]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (None, ("", "invalid_type")),
        ([], ("", "invalid_type")),
        ({}, ("", "unknown_node")),
        ({"segment": "vip"}, ("", "unknown_node")),
        ({"all": [], "any": []}, ("", "ambiguous_node")),
        ({"trait": "a", "event": "b"}, ("", "ambiguous_node")),
        ({"all": {}}, ("/all", "invalid_type")),
        ({"any": []}, ("/any", "empty")),
        ({"all": [], "op": "eq"}, ("/op", "unknown_field")),
        ({"all": [], "a/b~": 1}, ("/a~1b~0", "unknown_field")),
        ({"not": [{"event": "x"}]}, ("/not", "invalid_type")),
        ({"trait": "a", "value": 1}, ("", "missing_field")),
        ({"trait": "a", "op": "eq"}, ("", "missing_field")),
        ({"trait": "a", "op": "eq", "value": None}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "eq", "value": [1]}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "eq", "value": {}}, ("/value", "invalid_type")),
        ({"trait": "a", "op": ["eq"], "value": 1}, ("/op", "unknown_operator")),
        ({"trait": ["a"], "op": "exists"}, ("/trait", "invalid_type")),
        ({"trait": "/a~2", "op": "exists"}, ("/trait", "invalid_path")),
        ({"trait": "a", "op": "exists", "value": 1}, ("/value", "not_applicable")),
        ({"trait": "a", "op": "gt", "value": True}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "gt", "value": "2026-01-01"}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "gt", "value": 1, "ignore_case": True}, ("/ignore_case", "not_applicable")),
        ({"trait": "a", "op": "eq", "value": "x", "ignore_case": 1}, ("/ignore_case", "invalid_type")),
        ({"trait": "a", "op": "before", "value": "soon"}, ("/value", "invalid_date")),
        ({"trait": "a", "op": "before", "value": 1700000000}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "in", "value": "x"}, ("/value", "invalid_type")),
        ({"trait": "a", "op": "in", "value": []}, ("/value", "empty")),
        ({"trait": "a", "op": "in", "value": ["x", [1]]}, ("/value/1", "invalid_type")),
        ({"trait": "a", "op": "in", "value": ["x", float("nan")]}, ("/value/1", "not_finite")),
        ({"trait": "a", "op": "eq", "value": "\ud800"}, ("/value", "invalid_text")),
        ({"trait": "a", "op": "eq", "value": 2**63}, ("/value", "out_of_range")),
        ({"trait": "a", "op": "within_days", "value": 3}, ("/op", "unknown_operator")),
        ({"feature": "revenue", "op": "contains", "value": 1}, ("/op", "unknown_operator")),
        ({"feature": "revenue", "op": "gt", "value": "1"}, ("/value", "invalid_type")),
        ({"feature": "revenue", "op": "exists", "value": 1}, ("/value", "not_applicable")),
        ({"event": ""}, ("/event", "empty")),
        ({"event": "x", "count": True}, ("/count", "invalid_type")),
        ({"event": "x", "count": 1.5}, ("/count", "invalid_type")),
        ({"event": "x", "days": 0}, ("/days", "out_of_range")),
        ({"event": "x", "op": None}, ("/op", "unknown_operator")),
        ({"seen": "within"}, ("", "missing_field")),
        ({"seen": "within", "days": "14"}, ("/days", "invalid_type")),
        ({"seen": ["within"], "days": 14}, ("/seen", "unknown_operator")),
    ],
)
def test_each_problem_has_its_place_and_code(obj: object, expected: tuple[str, str]) -> None:
    assert problems(obj) == [expected]


def test_names_and_texts_may_be_as_long_as_the_limits_and_no_longer() -> None:
    parse({"event": "x" * limits.MAX_NAME})
    parse({"trait": "a", "op": "eq", "value": "x" * limits.MAX_TEXT})
    parse({"trait": "a", "op": "in", "value": list(range(limits.MAX_VALUES))})
    assert problems({"event": "x" * (limits.MAX_NAME + 1)}) == [("/event", "too_long")]
    assert problems({"trait": "a", "op": "eq", "value": "x" * (limits.MAX_TEXT + 1)}) == [("/value", "too_long")]
    assert problems({"trait": "a", "op": "in", "value": list(range(limits.MAX_VALUES + 1))}) == [("/value", "too_many")]


def test_64_conditions_are_taken_and_the_65th_is_named() -> None:
    leaf = {"event": "x"}
    parse({"all": [leaf] * 64})
    assert problems({"all": [leaf] * 65}) == [("/all", "too_many")]
    assert problems({"all": [{"any": [leaf] * 40}, {"any": [leaf] * 40}]}) == [("/all/1/any/24", "too_many")]


def test_16_levels_are_taken_and_the_17th_is_named() -> None:
    nested: dict[str, Any] = {"event": "x"}
    for _ in range(limits.MAX_DEPTH):
        nested = {"not": nested}
    parse(nested)
    assert problems({"not": nested}) == [("/not" * limits.MAX_DEPTH, "too_deep")]


def test_256_groups_and_conditions_are_taken_and_the_257th_is_named() -> None:
    three: dict[str, Any] = {"all": [{"all": []}] * 3}
    parse({"all": [three] * 63 + [{"all": [{"all": []}] * 2}]})
    assert problems({"all": [three] * 64}) == [("/all/63/all/2", "too_many")]


def test_feature_names_are_checked_while_parsing_where_they_are_known() -> None:
    leaf = {"feature": "revenue", "op": "gt", "value": 1}
    parse(leaf, features={"revenue"})
    assert problems({"all": [leaf]}, features=["events_total"]) == [("/all/0/feature", "unknown_feature")]


def test_the_error_survives_pickling_and_maps_to_a_request_error() -> None:
    with pytest.raises(PredicateError) as caught:
        parse({"all": [1, 2, 3, 4, 5]})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.code, copy.status, copy.errors) == ("invalid_predicate", 400, caught.value.errors)
    assert str(copy) == str(caught.value)
    assert "and 2 more" in str(copy)


def test_predicates_survive_pickling() -> None:
    predicate = parse({"all": [{"trait": "tags", "op": "in", "value": ["a", 1, True]}]})
    assert pickle.loads(pickle.dumps(predicate)) == predicate
    assert predicate == AllOf((TraitLeaf("tags", "in", ("a", 1, True)),))
