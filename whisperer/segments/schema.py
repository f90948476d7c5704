"""Generate the JSON Schema (2020-12) of the JSON form from the structs and the operator table.

It is for editors and for clients' own checks. Everything the parser accepts is valid under it; the parser refuses a
little more: too many leaves or levels overall, lone surrogates, malformed paths and dates, integers beyond 63 bits.
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.segments import limits
from whisperer.segments.operators import TRAIT_OPERATORS, Takes
from whisperer.segments.predicate import AllOf, AnyOf, EventLeaf, FeatureLeaf, Not, SeenLeaf, TraitLeaf

_TEXT = {"type": "string", "maxLength": limits.MAX_TEXT}
_SCALAR = {"anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]}
_VALUE: dict[Takes, dict[str, Any]] = {
    Takes.SCALAR: _SCALAR,
    Takes.NUMBER: {"type": "number"},
    Takes.TEXT: _TEXT,
    Takes.DATE: _TEXT,
    Takes.LIST: {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": limits.MAX_VALUES},
}


def json_schema() -> dict[str, Any]:
    """Return the schema as a new dict; ``$defs`` has one entry per kind of node."""
    kinds = (AllOf, AnyOf, Not, TraitLeaf, FeatureLeaf, EventLeaf, SeenLeaf)
    references, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    definitions["TraitLeaf"]["allOf"] = [
        *(
            _rule(takes, [op for op, known in TRAIT_OPERATORS.items() if known.takes is takes], _VALUE.get(takes))
            for takes in Takes
        ),
        {
            "if": {
                "properties": {"op": {"enum": [op for op, known in TRAIT_OPERATORS.items() if not known.folds_case]}}
            },
            "then": {"properties": {"ignore_case": {"const": False}}},
        },
    ]
    definitions["FeatureLeaf"]["allOf"] = [
        _rule(Takes.NOTHING, ["exists", "not_exists"], None),
        _rule(Takes.NUMBER, ["eq", "ne", "gt", "gte", "lt", "lte"], _VALUE[Takes.NUMBER]),
    ]
    definitions["Predicate"] = {"oneOf": list(references)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Segment predicate",
        "$ref": "#/$defs/Predicate",
        "$defs": definitions,
    }


def _rule(takes: Takes, ops: list[str], value: dict[str, Any] | None) -> dict[str, Any]:
    """Return the rule for what ``value`` must be with these operators."""
    if takes is Takes.NOTHING:
        then: dict[str, Any] = {"properties": {"value": {"type": "null"}}}
    else:
        then = {"required": ["value"], "properties": {"value": value}}
    return {"if": {"properties": {"op": {"enum": ops}}}, "then": then}
