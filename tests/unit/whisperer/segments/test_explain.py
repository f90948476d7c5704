"""Why a user is in or not."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given

from tests.unit.whisperer.segments.naive import is_member
from tests.unit.whisperer.segments.strategies import predicates, users
from tests.unit.whisperer.segments.users import NOW, FakeRows, User
from whisperer.segments import explain, parse


@given(predicates, users)
def test_an_explanation_agrees_with_membership_at_every_node(predicate: dict[str, Any], user: User) -> None:
    def check(node: dict[str, Any], shown: Any) -> None:
        assert shown.holds is is_member(node, user, NOW)
        below = node.get("all") or node.get("any") or ([node["not"]] if "not" in node else [])
        for child, part in zip(below, shown.parts, strict=True):
            check(child, part)

    check(predicate, explain(parse(predicate), FakeRows([user]), user.traits))


def test_each_leaf_shows_the_value_that_it_saw() -> None:
    user = User({"company": {"plan": "free"}}, events=(("Paid", NOW),), last_seen=NOW - 5, revenue=12.5)
    predicate = {
        "all": [
            {"trait": "/company/plan", "op": "eq", "value": "pro"},
            {
                "any": [
                    {"event": "Paid", "count": 2, "days": 7},
                    {"not": {"feature": "revenue", "op": "lt", "value": 10}},
                ]
            },
            {"seen": "within", "days": 1},
            {"feature": "idle_days", "op": "exists"},
        ]
    }
    shown = msgspec.to_builtins(explain(parse(predicate), FakeRows([User(), user]), user.traits, 1))
    assert shown["holds"] is False
    trait, either, seen, idle = shown["parts"]
    assert trait == {"kind": "trait", "text": "company.plan is 'pro'", "holds": False, "seen": "free"}
    assert either["holds"] is True
    assert [part["holds"] for part in either["parts"]] == [False, True]
    assert either["parts"][0]["seen"] == 1
    assert either["parts"][1]["parts"][0] == {
        "kind": "feature",
        "text": "revenue is less than 10",
        "holds": False,
        "seen": 12.5,
    }
    assert (seen["holds"], seen["seen"]) == (True, NOW - 5)
    assert "seen" not in idle
