"""Predicates in English."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.unit.whisperer.segments.strategies import predicates
from whisperer.segments import describe, parse

PRO = {"trait": "plan", "op": "eq", "value": "pro"}
USED = {"event": "Feature Used", "count": 3, "days": 7}


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        ({"all": [PRO, USED]}, "plan is 'pro' and did 'Feature Used' at least 3 times in 7 days"),
        (
            {"any": [PRO, {"all": [PRO, USED]}]},
            "plan is 'pro' or (plan is 'pro' and did 'Feature Used' at least 3 times in 7 days)",
        ),
        ({"all": [{"any": [PRO]}, {"not": PRO}]}, "plan is 'pro' and not (plan is 'pro')"),
        ({"all": []}, "everybody"),
        ({"event": "Paid"}, "did 'Paid' at least 1 time"),
        ({"event": "Paid", "op": "eq", "count": 0, "days": 1}, "did not do 'Paid' in 1 day"),
        ({"event": "Paid", "op": "lt"}, "never did 'Paid'"),
        ({"event": "Paid", "op": "lt", "count": 5, "days": 30}, "did 'Paid' fewer than 5 times in 30 days"),
        ({"seen": "not_within", "days": 14}, "not seen for 14 days"),
        ({"seen": "within", "days": 1}, "seen in the last 1 day"),
        ({"feature": "revenue", "op": "gte", "value": 100}, "revenue is at least 100"),
        ({"feature": "revenue", "op": "not_exists"}, "revenue is not set"),
        ({"trait": "/company/beta", "op": "eq", "value": True}, "company.beta is true"),
        ({"trait": "c", "op": "in", "value": ["de", 1]}, "c is one of 'de', 1"),
        ({"trait": "n", "op": "in", "value": list(range(12))}, "n is one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"),
        ({"trait": "c", "op": "starts_with", "value": "A", "ignore_case": True}, "c starts with 'A' (ignoring case)"),
        ({"trait": "a\nb", "op": "exists"}, "a\\u000ab is set"),
    ],
)
def test_a_predicate_reads_as_english(predicate: dict[str, Any], text: str) -> None:
    assert describe(parse(predicate)) == text


@given(predicates)
def test_every_predicate_has_one_line_of_words(predicate: dict[str, Any]) -> None:
    assert describe(parse(predicate)).isprintable()
