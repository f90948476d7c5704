"""What one trait test says of one user's traits."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given

from tests.unit.whisperer.segments.strategies import trait_leaves, traits
from whisperer.segments import TraitLeaf, TraitTest, parse
from whisperer.segments.dates import instant_ns
from whisperer.segments.paths import join_path, split_path


def made(leaf: dict[str, Any]) -> TraitTest:
    parsed = parse(leaf)
    assert isinstance(parsed, TraitLeaf)
    return TraitTest.of(parsed)


def passes(op: str, seen: Any, value: Any = None, **options: Any) -> bool:
    given_value = {} if value is None else {"value": value}
    return made({"trait": "t", "op": op} | given_value | options).matches({"t": seen})


@pytest.mark.parametrize(
    ("op", "seen", "value", "expected"),
    [
        ("eq", "pro", "pro", True),
        ("eq", "Pro", "pro", False),
        ("eq", 1, 1.0, True),
        ("eq", True, 1, False),
        ("eq", 1, True, False),
        ("eq", "1", 1, False),
        ("eq", 2**53 + 1, float(2**53), False),
        ("ne", None, "pro", True),
        ("ne", "5", 5, True),
        ("gt", 2, 1.5, True),
        ("gt", "2", 1, False),
        ("gt", True, 0, False),
        ("lt", None, 1, False),
        ("lte", float("nan"), 1, False),
        ("gte", 10**400, 1, True),
        ("contains", "user@example.com", "@example", True),
        ("contains", ["a", 1], 1, True),
        ("contains", ["a", True], 1, False),
        ("contains", [["a"]], "a", False),
        ("contains", {"a": 1}, "a", False),
        ("contains", "10", 1, False),
        ("not_contains", None, "a", True),
        ("contains_any", ["a", "b"], ["x", "b"], True),
        ("contains_any", "a b", ["x", "b"], True),
        ("contains_all", ["a", "b"], ["a", "x"], False),
        ("contains_all", ["a", "b"], ["b", "a"], True),
        ("starts_with", "Berlin", "Ber", True),
        ("starts_with", ["Berlin"], "Ber", False),
        ("ends_with", "Berlin", "LIN", False),
        ("in", "de", ["de", "fr"], True),
        ("in", ["de"], ["de", "fr"], False),
        ("not_in", None, ["de"], True),
        ("exists", False, None, True),
        ("exists", None, None, False),
        ("not_exists", [], None, False),
        ("before", "2026-01-01", "2026-01-01T00:00:01Z", True),
        ("before", "2026-01-01T00:30:00+01:00", "2026-01-01", True),
        ("before", "tomorrow", "2026-01-01", False),
        ("after", "2026-01-01T00:00:00.000000001Z", "2026-01-01", True),
        ("after", "2026-01-01", "2026-01-01", False),
        ("after", 1_800_000_000, "2026-01-01", False),
    ],
)
def test_an_operator_compares_by_type_and_value(op: str, seen: Any, value: Any, expected: bool) -> None:
    assert passes(op, seen, value) is expected


def test_ignore_case_folds_as_unicode_says() -> None:
    assert passes("eq", "STRASSE", "straße", ignore_case=True)
    assert passes("contains", ["PRO"], "pro", ignore_case=True)
    assert passes("contains", "My PRO plan", "Pro", ignore_case=True)
    assert not passes("contains", "My PRO plan", "Pro")
    assert passes("starts_with", "ProPlan", "PRO", ignore_case=True)
    assert passes("in", "DE", ["de", 1], ignore_case=True)
    assert not passes("ne", "A", "a", ignore_case=True)


def test_a_path_leads_into_objects_and_lists() -> None:
    user = {
        "company": {"plan": "pro", "a/b": {"~": 1}},
        "orders": [{"sku": "x"}],
        "a.b": 2,
        "": 3,
        "0": {"0": 4},
        "~1": 5,
    }
    for path, value in [
        ("/company/plan", "pro"),
        ("/company/a~1b/~0", 1),
        ("/orders/0/sku", "x"),
        ("a.b", 2),
        ("/a.b", 2),
        ("/", 3),
        ("/0/0", 4),
        ("/~01", 5),
    ]:
        assert made({"trait": path, "op": "eq", "value": value}).matches(user), path
    for path in [
        "/orders/1/sku",
        "/orders/-1",
        "/orders/-",
        "/orders/00",
        "/orders/²",
        "/company/plan/0",
        "/x/y",
        "company.plan",
    ]:
        assert not made({"trait": path, "op": "exists"}).matches(user), path


@pytest.mark.parametrize("path", ["plan", "/a~1b", "/a/b/0", "/", "//", "a~b", "/~1plan", "/~01"])
def test_a_path_and_its_steps_say_the_same(path: str) -> None:
    steps = split_path(path)
    assert steps is not None
    assert split_path(join_path(steps)) == steps


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01 00:00:01", 10**9),
        ("1970-01-01T00:00:00.5", 5 * 10**8),
        ("1970-01-01T00:00:00,1234567891z", 123456789),
        ("1970-01-01T02:00:00+0200", 0),
        ("1969-12-31T22:30-01:30", 0),
        ("1970-01-01T05:00+05", 0),
        ("0001-01-01", -62135596800 * 10**9),
        ("2024-02-29", 1709164800 * 10**9),
    ],
)
def test_iso_dates_are_exact_instants(text: str, ns: int) -> None:
    assert instant_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-1-1",
        "2026-02-29",
        "0000-01-01",
        "2026-01-01T24:00",
        "2026-01-01T00:60",
        "2026-01-01T00:00:60",
        "2026-01-01T00:00+24:00",
        "2026-01-01\n",
        "２０２６-01-01",
        "2026-01-01T00:00:00." + "1" * 10_000,
        "20260101",
    ],
)
def test_what_is_no_iso_date_is_no_instant(text: str) -> None:
    assert instant_ns(text) is None


def test_a_test_names_the_top_level_trait_it_reads() -> None:
    assert made({"trait": "/company/plan", "op": "exists"}).trait == "company"
    assert made({"trait": "company.plan", "op": "exists"}).trait == "company.plan"


def test_keys_are_stable() -> None:
    test = made({"trait": "/tags", "op": "in", "value": ["b", 1.0, "a", "b"], "ignore_case": False})
    assert test.key == '{"op":"in","trait":"tags","value":["a","b",1]}'


def test_tests_of_one_and_of_true_have_different_keys() -> None:
    one, true = (made({"trait": "t", "op": "eq", "value": value}) for value in (1, True))
    assert one != true
    assert one.key != true.key


@given(trait_leaves, traits)
def test_a_test_made_again_from_its_key_or_a_pickle_answers_the_same(
    leaf: dict[str, Any], user: dict[str, Any]
) -> None:
    test = made(leaf)
    for again in (TraitTest.from_key(test.key), pickle.loads(pickle.dumps(test))):
        assert again == test
        assert hash(again) == hash(test)
        assert again.matches(user) == test.matches(user)
