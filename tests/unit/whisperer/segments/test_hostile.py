"""Whatever comes in, the answer is a predicate or a PredicateError, and soon."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.segments.strategies import PATHS, predicates, trait_values
from tests.unit.whisperer.segments.users import FEATURES, FakeRows, User
from whisperer.segments import (
    Predicate,
    PredicateError,
    compile,
    describe,
    explain,
    limits,
    parse,
    parse_json,
    predicate_hash,
)

DEPTH = 100_000

keys = st.sampled_from(
    [
        "all",
        "any",
        "not",
        "trait",
        "feature",
        "event",
        "seen",
        "op",
        "value",
        "count",
        "days",
        "ignore_case",
        "__class__",
    ]
)
words = st.sampled_from(
    ["eq", "in", "exists", "within", "before", "2026-01-01", "/a~", "\ud800", "\x00", "'; DROP TABLE"]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | words
    | st.just(10**400)
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


def answer(obj: object) -> Predicate | PredicateError:
    """Anything but these two is a failure of the test that asks."""
    try:
        return parse(obj, FEATURES)
    except PredicateError as error:
        return error


def check_usable(given_answer: Predicate | PredicateError) -> None:
    """A predicate must run, an error must say something that any encoder takes."""
    if isinstance(given_answer, PredicateError):
        assert given_answer.errors
        json.dumps(given_answer.errors)
        msgspec.json.encode(given_answer.errors)
        str(given_answer).encode()
        return
    rows = FakeRows([User(), User({"a": 1})])
    compile(given_answer, FEATURES).evaluate(rows)
    describe(given_answer).encode()
    predicate_hash(given_answer)
    explain(given_answer, rows, {})


@given(junk)
def test_junk_gives_a_predicate_that_works_or_a_predicate_error(obj: object) -> None:
    check_usable(answer(obj))


@given(predicates, st.data())
def test_a_predicate_with_one_part_replaced_by_junk_is_still_answered(predicate: dict[str, Any], data: Any) -> None:
    node: Any = predicate
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            break
        place = data.draw(st.sampled_from(places))
        if not isinstance(node[place], dict | list) or data.draw(st.booleans()):
            node[place] = data.draw(junk)
            break
        node = node[place]
    check_usable(answer(predicate))


@pytest.mark.parametrize("number", [10**5000, -(10**5000), 1e308, float("nan"), float("-inf"), 2**63], ids=range(6))
def test_numbers_of_any_size_are_answered(number: float) -> None:
    for obj in (
        number,
        {"event": "x", "count": number},
        {"event": "x", "days": number},
        {"seen": "within", "days": number},
        {"trait": "a", "op": "eq", "value": number},
        {"trait": "a", "op": number},
        {"trait": "a", "op": "in", "value": [number]},
        {"feature": "revenue", "op": "lt", "value": number},
        {"event": "x", number: 1},
    ):
        check_usable(answer(obj))


@pytest.mark.parametrize("wrap", [lambda x: {"not": x}, lambda x: {"all": [x]}, lambda x: {"any": [x, x]}])
def test_nesting_of_100_000_levels_is_refused_without_recursing(wrap: Any) -> None:
    nested: Any = {"event": "x"}
    for _ in range(DEPTH):
        nested = wrap(nested)
    with pytest.raises(PredicateError) as caught:
        parse(nested)
    assert caught.value.errors[0]["code"] == "too_deep"
    assert len(caught.value.errors) <= limits.MAX_PROBLEMS


@pytest.mark.parametrize("opening", ['{"not":', "[", '{"all":['])
def test_text_nested_100_000_levels_is_refused(opening: str) -> None:
    with pytest.raises(PredicateError) as caught:
        parse_json(opening * DEPTH)
    assert caught.value.errors[0]["code"] in ("too_deep", "malformed_json")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"trait": NaN}', '"\ud800"', b"\x00"])
def test_text_that_is_no_json_is_refused(raw: bytes | str) -> None:
    with pytest.raises(PredicateError) as caught:
        parse_json(raw)
    assert caught.value.errors[0]["code"] == "malformed_json"


def test_deep_nesting_in_a_value_is_refused() -> None:
    deep: Any = []
    for _ in range(DEPTH):
        deep = [deep]
    with pytest.raises(PredicateError):
        parse({"trait": "a", "op": "in", "value": deep})


def test_a_million_parts_or_fields_cost_a_bounded_list_of_problems() -> None:
    huge: list[dict[str, Any]] = [
        {"all": [{}] * 1_000_000},
        {"trait": "a", "op": "in", "value": [[]] * 1_000_000},
        {"event": "x"} | {str(i): i for i in range(1_000_000)},
        {"all": [{"any": [{"all": [{}] * 64}] * 64}] * 64},
    ]
    for obj in huge:
        with pytest.raises(PredicateError) as caught:
            parse(obj)
        assert 1 <= len(caught.value.errors) <= limits.MAX_PROBLEMS
        assert len(str(caught.value)) < 2_000


def test_problems_are_listed_up_to_their_limit() -> None:
    with pytest.raises(PredicateError) as caught:
        parse({"all": [{"trait": "", "op": "in", "value": [None] * 5}] * 64})
    assert len(caught.value.errors) == limits.MAX_PROBLEMS


def test_errors_about_lone_surrogates_can_be_sent() -> None:
    for obj in ({"event": "x", "op": "\ud800"}, {"event": "x", "\ud800": 1}, {"feature": "\ud800", "op": "exists"}):
        check_usable(answer(obj))
        assert isinstance(answer(obj), PredicateError)


def test_a_huge_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(PredicateError) as caught:
        parse({"trait": "a", "op": "x" * 1_000_000, "y" * 1_000_000: 1})
    assert len(json.dumps(caught.value.errors)) < 2_000


@pytest.mark.parametrize(
    "name", ["__class__", "__dict__/x", "a'; DROP TABLE users", "<script>", "\x00", "𝔘", "{0.__class__}"]
)
def test_strange_trait_names_are_names(name: str) -> None:
    leaf = {"trait": name, "op": "eq", "value": "yes"}
    program = compile(parse(leaf), FEATURES)
    member, _ = program.evaluate(FakeRows([User(), User({name: "yes"})]))
    assert member.tolist() == [False, True]
    describe(parse(leaf))


@given(predicates, st.dictionaries(st.sampled_from(PATHS), trait_values | junk, max_size=3))
def test_trait_tests_never_raise_whatever_the_traits(predicate: dict[str, Any], traits: dict[str, Any]) -> None:
    for test in compile(parse(predicate), FEATURES).trait_tests:
        assert isinstance(test.matches(traits), bool)
