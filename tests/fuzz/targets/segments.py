"""A predicate of any bytes: it is refused with its problems, or read, written back and evaluated."""

from __future__ import annotations

import json
from collections.abc import Hashable

from tests.fuzz import codes
from tests.unit.whisperer.segments.users import FEATURES
from whisperer.segments import PredicateError, canonical_json
from whisperer.segments.describe import describe
from whisperer.segments.parse import parse_json
from whisperer.segments.program import compile

WORDS = (
    '{"all":[', '{"any":[', '{"not":', '"event":', '"trait":', '"op":', '"value":', '"feature":', '"segment":', '"within"',
    '"ignore_case":true', '"eq"', '"ne"', '"in"', '"contains"', '"exists"', '"gte"', '"before"', '"count"', '"days":', "1e400",
    '"/company/tags/0"', "2026-01-01T00:00:00Z", "\\u0000",
)  # fmt: skip


def seeds() -> list[bytes]:
    examples = [
        {"event": "Bought"},
        {"event": "Bought", "count": {"gte": 3}, "days": 7},
        {"trait": "plan", "op": "eq", "value": "pro"},
        {"all": [{"trait": "/a/0", "op": "in", "value": ["x", 1]}, {"not": {"event": "Paid"}}]},
        {"any": [{"feature": "events_7d", "op": "gte", "value": 1}]},
    ]
    return [json.dumps(example).encode() for example in examples]


def attack(data: bytes) -> Hashable:
    try:
        predicate = parse_json(data, FEATURES)
    except PredicateError as error:
        return codes(error)
    written = canonical_json(predicate)
    assert canonical_json(parse_json(written, FEATURES)) == written
    describe(predicate).encode()
    compile(predicate, FEATURES)
    return type(predicate).__name__, min(len(written), 200) // 20
