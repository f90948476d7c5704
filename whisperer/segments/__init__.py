"""Define segments in a small typed predicate language over traits, features and event history.

``parse`` turns JSON into a predicate or into the list of everything wrong with it, ``compile`` binds it to features,
and ``Program.evaluate`` says for a batch of users who is in and when to ask again. Nothing here holds state, reads a
clock or does I/O: users come through :class:`~whisperer.segments.rows.Rows`, which the shard implements. The language
is described in ``docs/segments.md``. ``parse_predicate`` and ``compile_predicate`` are ``parse`` and ``compile`` under
names that read well when imported from here.
"""

from whisperer.segments.canonical import canonical, canonical_json, predicate_hash, to_json
from whisperer.segments.clock import NEVER
from whisperer.segments.describe import describe
from whisperer.segments.errors import PredicateError
from whisperer.segments.explain import Explanation, explain
from whisperer.segments.parse import parse, parse_condition, parse_json
from whisperer.segments.parse import parse as parse_predicate
from whisperer.segments.predicate import (
    AllOf,
    AnyOf,
    EventLeaf,
    FeatureLeaf,
    Not,
    Predicate,
    PropertyLeaf,
    SeenLeaf,
    TraitLeaf,
)
from whisperer.segments.program import Program, compile
from whisperer.segments.program import compile as compile_predicate
from whisperer.segments.rows import Clock, FeatureSpec, Rows
from whisperer.segments.schema import json_schema
from whisperer.segments.trait_test import TraitTest

__all__ = [
    "NEVER",
    "AllOf",
    "AnyOf",
    "Clock",
    "EventLeaf",
    "Explanation",
    "FeatureLeaf",
    "FeatureSpec",
    "Not",
    "Predicate",
    "PredicateError",
    "Program",
    "PropertyLeaf",
    "Rows",
    "SeenLeaf",
    "TraitLeaf",
    "TraitTest",
    "canonical",
    "canonical_json",
    "compile",
    "compile_predicate",
    "describe",
    "explain",
    "json_schema",
    "parse",
    "parse_condition",
    "parse_json",
    "parse_predicate",
    "predicate_hash",
    "to_json",
]
