"""Picking items: the same as looking at them one by one, in any order that they come in, within its bounds."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whisperer.content.catalogue.fields import time_ms
from whisperer.content.catalogue.table import OPERATORS, SORTABLE, Condition, ItemTable

FIELDS = {"name": "string", "price": "number", "new": "boolean", "since": "time", "url": "url", "tags": "list"}
WORDS = st.sampled_from(["a", "b", "ä", "", "A"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": WORDS,
    "price": st.sampled_from([0, 1, 2.5, -3, 10**9]),
    "new": st.booleans(),
    "since": st.sampled_from(["2026-01-31T09:00:00Z", "2026-02-01T00:00:00Z"]),
    "url": st.sampled_from(["https://a.example/1", "https://a.example/2"]),
    "tags": st.lists(WORDS, max_size=3),
}
ITEMS = st.lists(st.fixed_dictionaries({}, optional=VALUES), max_size=12)
TESTS = st.sampled_from(
    [("id", one) for one in OPERATORS["string"]] + [(f, one) for f, kind in FIELDS.items() for one in OPERATORS[kind]]
).flatmap(
    lambda test: st.tuples(
        st.just(test[0]),
        st.just(test[1]),
        st.one_of(
            st.none(),
            *VALUES.values(),
            st.sampled_from(["i0", "i3", 7]),
            st.lists(st.one_of(WORDS, st.sampled_from(["i1", "i2", 1, 2.5])), max_size=4),
        ),
    )
)
ORDERS = st.sampled_from(
    ["", "id", "-id", *(f"{minus}{f}" for f in FIELDS if FIELDS[f] in SORTABLE for minus in ("", "-"))]
)


def table(items: list[dict[str, Any]]) -> ItemTable:
    held = [(f"i{n}", json.dumps({"id": f"i{n}", **one}).encode()) for n, one in enumerate(items)]
    random.Random(1).shuffle(held)
    return ItemTable(FIELDS, held)


def word(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value if isinstance(value, str) else None
    return str(int(value)) if float(value).is_integer() else str(value)


def equal(kind: str, mine: Any, value: Any) -> bool:
    if kind in ("string", "url"):
        return mine is not None and mine == word(value)
    if kind == "time":
        return mine is not None and time_ms(value) is not None and time_ms(mine) == time_ms(value)
    is_bool = isinstance(value, bool)
    return mine is not None and is_bool == (kind == "boolean") and isinstance(value, (int, float)) and mine == value


def meets(item: dict[str, Any], field: str, operator: str, value: Any) -> bool:
    kind, mine = FIELDS.get(field, "string"), item.get(field)
    if operator == "contains":
        return word(value) in (mine or []) and word(value) != ""
    if operator in ("in", "not in"):
        found = any(equal(kind, mine, one) for one in (value if isinstance(value, list) else [value]))
        return found == (operator == "in")
    if operator in ("==", "!="):
        return equal(kind, mine, value) == (operator == "==")
    theirs: Any = time_ms(value) if kind == "time" else value
    if isinstance(theirs, bool) or not isinstance(theirs, (int, float)) or mine is None:
        return False
    mine = time_ms(mine) if kind == "time" else mine
    return {"<": mine < theirs, "<=": mine <= theirs, ">": mine > theirs, ">=": mine >= theirs}[operator]


@settings(max_examples=300, deadline=None)
@given(items=ITEMS, tests=st.lists(TESTS, max_size=3), limit=st.integers(1, 12))
@example(items=[{"name": "a", "price": 0, "tags": [""]}], tests=[("tags", "contains", None)], limit=1)
def test_a_pick_is_what_looking_at_every_item_finds(
    items: list[dict[str, Any]], tests: list[tuple[str, str, Any]], limit: int
) -> None:
    held = [{"id": f"i{n}", **one} for n, one in enumerate(items)]
    wanted = [one["id"] for one in sorted(held, key=lambda one: one["id"]) if all(meets(one, *t) for t in tests)]
    named = next((t[2] for t in tests if t[:2] == ("id", "in")), None)
    if any(t[:2] == ("id", "in") for t in tests):
        asked = [word(one) for one in (named if isinstance(named, list) else [named])]
        wanted.sort(key=lambda id: asked.index(id))
    found = table(items).pick([Condition(*t) for t in tests], "", limit)
    assert [one["id"] for one in found] == wanted[:limit]
    assert all(one == next(item for item in held if item["id"] == one["id"]) for one in found)


@settings(max_examples=200, deadline=None)
@given(items=ITEMS, order=ORDERS)
def test_items_are_sorted_with_equals_by_id_and_those_without_a_value_last(
    items: list[dict[str, Any]], order: str
) -> None:
    field, descends = order.removeprefix("-"), order.startswith("-")
    held = sorted(({"id": f"i{n}", **one} for n, one in enumerate(items)), key=lambda one: one["id"])
    wanted = held
    if field:
        there = [one for one in held if field in one]
        wanted = sorted(there, key=lambda one: one[field], reverse=False)
        if descends:
            wanted = sorted(there, key=lambda one: one[field], reverse=True)
        wanted = wanted + [one for one in held if field not in one]
    assert table(items).pick([], order, 12) == wanted


def test_a_field_may_be_called_like_a_word_of_python() -> None:
    held = ItemTable({"class": "string"}, [("1", b'{"id": "1", "class": "x"}')])
    assert [one["id"] for one in held.pick([Condition("class", "==", "x")], "", 5)] == ["1"]


@pytest.mark.parametrize(("n", "tests", "work"), [(0, 0, 2), (50_000, 0, 1_002), (50_000, 8, 9_010)])
def test_what_a_pick_costs_follows_from_the_items_and_the_conditions(n: int, tests: int, work: int) -> None:
    held = ItemTable({"name": "string"}, [(str(i), b"{}") for i in range(n)])
    assert held.work(tests) == work
