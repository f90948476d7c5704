"""One predicate, one spelling, one hash."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.segments.strategies import predicates
from whisperer.segments import canonical, canonical_json, parse, parse_json, predicate_hash, to_json

PAID = {"event": "Paid"}
PRO = {"trait": "plan", "op": "eq", "value": "pro"}


def hashed(predicate: Any) -> str:
    return predicate_hash(parse(predicate))


def _shuffled(node: Any, rng: random.Random) -> Any:
    if isinstance(node, dict):
        return dict(rng.sample([(key, _shuffled(value, rng)) for key, value in node.items()], len(node)))
    if isinstance(node, list):
        return rng.sample([_shuffled(value, rng) for value in node], len(node))
    return node


@given(predicates, st.randoms(use_true_random=False))
def test_order_does_not_change_the_hash(predicate: dict[str, Any], rng: random.Random) -> None:
    assert hashed(_shuffled(predicate, rng)) == hashed(predicate)


@given(predicates)
def test_the_canonical_form_is_its_own_and_parses(predicate: dict[str, Any]) -> None:
    form = canonical(parse(predicate))
    assert canonical(form) == form
    assert canonical(parse_json(canonical_json(form))) == form


def test_ways_to_write_the_same_have_one_hash() -> None:
    same = [
        [PAID, {"event": "Paid", "op": "gte", "count": 1.0, "days": None}, {"all": [PAID]}, {"not": {"not": PAID}}],
        [{"all": [PRO, PAID]}, {"all": [PAID, PRO, PAID]}, {"all": [{"all": [PRO]}, {"any": [PAID]}]}],
        [PRO, PRO | {"trait": "/plan"}, PRO | {"ignore_case": False}],
        [
            {"trait": "n", "op": "in", "value": [2, 1]},
            {"trait": "n", "op": "in", "value": [1.0, 2, 1], "ignore_case": True},
        ],
    ]
    for ways in same:
        assert len({hashed(way) for way in ways}) == 1


def test_different_predicates_have_different_hashes() -> None:
    different = [
        PRO,
        PRO | {"ignore_case": True},
        PRO | {"op": "ne"},
        PRO | {"trait": "/plan/x"},
        PRO | {"value": True},
        PRO | {"value": 1},
        PRO | {"value": "1"},
        {"not": PRO},
        {"all": [PRO, PAID]},
        {"any": [PRO, PAID]},
        {"all": []},
        {"event": "Paid", "days": 1},
        {"event": "Paid", "count": 2},
        {"trait": "plan", "op": "in", "value": [1]},
        {"trait": "plan", "op": "in", "value": [True]},
    ]
    assert len({hashed(predicate) for predicate in different}) == len(different)


def test_hashes_are_pinned_so_that_a_release_cannot_change_them_unnoticed() -> None:
    predicate = {
        "all": [PRO, {"event": "Feature Used", "count": 3, "days": 7}, {"not": {"seen": "within", "days": 14}}]
    }
    assert canonical_json(parse(predicate)) == (
        b'{"all":[{"count":3,"days":7,"event":"Feature Used","op":"gte"},{"not":{"days":14,"seen":"within"}},'
        b'{"op":"eq","trait":"plan","value":"pro"}]}'
    )
    assert hashed(predicate) == "3d2ddfda1af9b9af7ce0f6b8bb26538f"


def test_the_order_of_the_author_is_kept_in_the_json_form() -> None:
    assert to_json(parse({"all": [PRO, {"event": "A"}]}))["all"][0] == PRO
