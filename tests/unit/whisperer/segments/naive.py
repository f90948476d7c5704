"""A second, plain interpreter of the JSON form, one user at a time, that shares no code with the product.

It reads the JSON, not the structs, and is written from docs/segments.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.unit.whisperer.segments.users import DAY, User


def is_member(predicate: dict[str, Any], user: User, now: int) -> bool:
    if "all" in predicate:
        return all(is_member(part, user, now) for part in predicate["all"])
    if "any" in predicate:
        return any(is_member(part, user, now) for part in predicate["any"])
    if "not" in predicate:
        return not is_member(predicate["not"], user, now)
    if "event" in predicate:
        count = user.count(predicate["event"], predicate.get("days"), now)
        return compared(predicate.get("op", "gte"), count, predicate.get("count", 1))
    if "seen" in predicate:
        gone = user.last_seen < 0 or user.last_seen + predicate["days"] * DAY <= now
        return gone if predicate["seen"] == "not_within" else not gone
    op: str = predicate["op"]
    wanted: Any = predicate.get("value")
    if "feature" in predicate:
        value = user.feature(predicate["feature"], now)
        if op in ("exists", "not_exists"):
            return (value is not None) == (op == "exists")
        return op == "ne" if value is None else compared(op, value, wanted)
    return trait_passes(op, look_up(predicate["trait"], user.traits), wanted, predicate.get("ignore_case", False))


def compared(op: str, a: float, b: float) -> bool:
    return {"eq": a == b, "ne": a != b, "gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[op]


def look_up(path: str, traits: Any) -> Any:
    names = [path]
    if path.startswith("/"):
        names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")[1:]]
    value = traits
    for name in names:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name in [str(i) for i in range(len(value))]:
            value = value[int(name)]
        else:
            return None
    return value


def kind(value: Any) -> str:
    return {str: "text", bool: "bool", int: "number", float: "number"}.get(type(value), "other")


def same(a: Any, b: Any, fold: bool) -> bool:
    if fold and isinstance(a, str) and isinstance(b, str):
        return a.casefold() == b.casefold()
    return kind(a) == kind(b) != "other" and bool(a == b)


def holds_one(value: Any, wanted: Any, fold: bool) -> bool:
    if isinstance(value, list):
        return any(same(entry, wanted, fold) for entry in value)
    if isinstance(value, str) and isinstance(wanted, str):
        return (wanted.casefold() in value.casefold()) if fold else (wanted in value)
    return False


def moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or text[:4] == "soon":
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def trait_passes(op: str, value: Any, wanted: Any, fold: bool) -> bool:
    if op.startswith("not_") or op == "ne":
        return not trait_passes({"ne": "eq"}.get(op, op.removeprefix("not_")), value, wanted, fold)
    match op:
        case "exists":
            return value is not None
        case "eq":
            return same(value, wanted, fold)
        case "in":
            return any(same(value, entry, fold) for entry in wanted)
        case "contains":
            return holds_one(value, wanted, fold)
        case "contains_any":
            return any(holds_one(value, entry, fold) for entry in wanted)
        case "contains_all":
            return all(holds_one(value, entry, fold) for entry in wanted)
        case "starts_with" | "ends_with":
            if not isinstance(value, str):
                return False
            a, b = (value.casefold(), wanted.casefold()) if fold else (value, wanted)
            return bool(a[: len(b)] == b if op == "starts_with" else b == "" or a[-len(b) :] == b)
        case "before" | "after":
            a_time, b_time = moment(value), moment(wanted)
            if a_time is None or b_time is None:
                return False
            return a_time < b_time if op == "before" else a_time > b_time
    return kind(value) == "number" and compared(op, value, wanted)
