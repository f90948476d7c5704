"""The JSON Schema agrees with the parser."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from tests.unit.whisperer.segments.strategies import predicates
from whisperer.segments import PredicateError, json_schema, parse, to_json
from whisperer.segments.operators import COMPARE, FEATURE_OPERATORS, TRAIT_OPERATORS

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_valid_and_encodes() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    json.dumps(json_schema())


@given(predicates)
def test_what_the_parser_takes_and_writes_is_valid(predicate: dict[str, Any]) -> None:
    VALIDATOR.validate(predicate)
    VALIDATOR.validate(to_json(parse(predicate)))


@pytest.mark.parametrize(
    "predicate",
    [
        None,
        {},
        {"all": {}},
        {"any": []},
        {"all": [], "any": [{"event": "x"}]},
        {"not": {"segment": "x"}},
        {"trait": "", "op": "exists"},
        {"trait": "a", "op": "eq"},
        {"trait": "a", "op": "eq", "value": None},
        {"trait": "a", "op": "eq", "value": ["x"]},
        {"trait": "a", "op": "exists", "value": 1},
        {"trait": "a", "op": "gt", "value": "1"},
        {"trait": "a", "op": "gt", "value": 1, "ignore_case": True},
        {"trait": "a", "op": "in", "value": "x"},
        {"trait": "a", "op": "in", "value": []},
        {"trait": "a", "op": "eq", "value": "x" * 513},
        {"trait": "a", "op": "like", "value": "x"},
        {"trait": "a", "op": "eq", "value": 1, "more": 1},
        {"feature": "a", "op": "gt"},
        {"feature": "a", "op": "exists", "value": 1},
        {"event": "x", "days": 91},
        {"event": "x", "count": -1},
        {"event": "x", "count": 1.5},
        {"seen": "within"},
        {"seen": "recently", "days": 1},
    ],
)
def test_what_is_misshapen_is_refused_by_schema_and_parser(predicate: Any) -> None:
    assert not VALIDATOR.is_valid(predicate)
    with pytest.raises(PredicateError):
        parse(predicate)


def test_the_structs_and_the_operator_tables_name_the_same_operators() -> None:
    definitions = json_schema()["$defs"]
    assert set(definitions["TraitLeaf"]["properties"]["op"]["enum"]) == set(TRAIT_OPERATORS)
    assert set(definitions["FeatureLeaf"]["properties"]["op"]["enum"]) == set(FEATURE_OPERATORS)
    assert set(definitions["EventLeaf"]["properties"]["op"]["enum"]) == set(COMPARE)
