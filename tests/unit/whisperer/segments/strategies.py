"""Random predicates in JSON form, and random users of whom some pass them: both draw from the same few values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.whisperer.segments.users import DAY, FEATURES, HOUR, NOW, User

TEXTS = ["", "pro", "Pro", "PRO plan", "straße", "STRASSE", "1", "true", "é", "a/b"]
NUMBERS = [0, 1, -1, 1.0, 0.5, 3, 1e300, 2**53, 2**53 + 1, 2**62]
DATES = ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+02:00", "2025-12-31 23:59:59.999999", "1969-07-20"]
NAMES = ["plan", "tags", "__class__", "a.b", "company", "n"]
PATHS = [
    *NAMES,
    "/plan",
    "/company/plan",
    "/company/tags/0",
    "/tags/1",
    "/a~1b",
    "/company/plan/0",
    "/tags/01",
    "/",
    "/n",
]
EVENTS = ["Feature Used", "$page", "Paid"]

scalars = st.sampled_from(TEXTS) | st.sampled_from(NUMBERS) | st.booleans()
value_lists = st.lists(scalars, min_size=1, max_size=4)
days = st.integers(1, 12)


def _with_case(leaf: dict[str, Any], fold: bool) -> dict[str, Any]:
    return leaf | {"ignore_case": True} if fold else leaf


def _trait(ops: list[str], values: st.SearchStrategy[Any], can_fold: bool) -> st.SearchStrategy[dict[str, Any]]:
    leaf = st.fixed_dictionaries({"trait": st.sampled_from(PATHS), "op": st.sampled_from(ops), "value": values})
    return st.builds(_with_case, leaf, st.booleans() if can_fold else st.just(False))


trait_leaves = st.one_of(
    _trait(["eq", "ne", "contains", "not_contains"], scalars, True),
    _trait(["starts_with", "ends_with"], st.sampled_from(TEXTS), True),
    _trait(["in", "not_in", "contains_any", "contains_all"], value_lists, True),
    _trait(["gt", "gte", "lt", "lte"], st.sampled_from(NUMBERS), False),
    _trait(["before", "after"], st.sampled_from(DATES), False),
    st.fixed_dictionaries({"trait": st.sampled_from(PATHS), "op": st.sampled_from(["exists", "not_exists"])}),
)
comparisons = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"])
feature_leaves = st.fixed_dictionaries(
    {
        "feature": st.sampled_from(sorted(FEATURES)),
        "op": comparisons,
        "value": st.sampled_from([0, 1, 2.5, 3, 24, -1, 100]) | st.floats(-10, 10) | st.sampled_from([1e300, -1e300]),
    }
) | st.fixed_dictionaries(
    {"feature": st.sampled_from(sorted(FEATURES)), "op": st.sampled_from(["exists", "not_exists"])}
)
event_leaves = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS)},
    optional={"op": comparisons, "count": st.integers(0, 4), "days": days},
)
seen_leaves = st.fixed_dictionaries({"seen": st.sampled_from(["within", "not_within"]), "days": days})
clocked_leaves = feature_leaves | event_leaves | seen_leaves


def _nested(leaf: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def wider(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        return st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, max_size=4)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=4)}),
            st.fixed_dictionaries({"not": inner}),
        )

    return st.recursive(leaf, wider, max_leaves=8)


predicates = _nested(trait_leaves | clocked_leaves)
clocked_predicates = _nested(clocked_leaves | trait_leaves.filter(lambda leaf: leaf["op"] == "exists"))

trait_values = st.recursive(
    scalars | st.none() | st.sampled_from(DATES) | st.just(float("nan")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "a/b", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)
traits = st.dictionaries(st.sampled_from([*NAMES, "a/b", ""]), trait_values, max_size=4)
instants = st.one_of(
    st.integers(NOW - 14 * DAY, NOW),
    st.builds(lambda d, ms: (NOW // DAY - d) * DAY + ms, st.integers(0, 13), st.sampled_from([0, 1])),
    st.builds(lambda d: NOW - d * DAY, st.integers(0, 13)),
    st.builds(lambda h: NOW - h * HOUR, st.integers(0, 30)),
)
users = st.builds(
    User,
    traits=traits,
    events=st.lists(st.tuples(st.sampled_from(EVENTS), instants), max_size=6).map(tuple),
    last_seen=st.just(-1) | instants,
    revenue=st.none() | st.sampled_from([0.0, 1.0, 2.5, 100.0, -1.0]),
    idle_since=st.none() | instants,
    first_seen=st.none() | instants,
)
