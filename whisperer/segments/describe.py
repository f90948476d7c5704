"""Describe a predicate in plain English, for pages and the command line. Made to be read, not parsed back."""

from __future__ import annotations

from whisperer.segments.operators import TRAIT_OPERATORS
from whisperer.segments.paths import split_path
from whisperer.segments.predicate import (
    AllOf,
    AnyOf,
    EventLeaf,
    FeatureLeaf,
    Not,
    Predicate,
    Scalar,
    SeenLeaf,
    TraitLeaf,
)

_TIMES = {
    "eq": "exactly",
    "ne": "any number but",
    "gt": "more than",
    "gte": "at least",
    "lt": "fewer than",
    "lte": "at most",
}
_LISTED = 10


def describe(predicate: Predicate) -> str:
    """Describe a predicate in one line of English.

    >>> describe(AllOf((TraitLeaf("plan", "eq", "pro"), EventLeaf("Feature Used", "gte", 3, 7))))
    "plan is 'pro' and did 'Feature Used' at least 3 times in 7 days"
    """
    match predicate:
        case AllOf(parts):
            return " and ".join(map(_as_part, parts)) if parts else "everybody"
        case AnyOf(parts):
            return " or ".join(map(_as_part, parts))
        case Not(part):
            return f"not ({describe(part)})"
        case TraitLeaf(trait, op, value, ignore_case):
            words = f"{_path(trait)} {TRAIT_OPERATORS[op].words}"
            case_note = " (ignoring case)" if ignore_case else ""
            return words if value is None else f"{words} {_value(value)}{case_note}"
        case FeatureLeaf(feature, op, value):
            words = f"{_printable(feature)} {TRAIT_OPERATORS[op].words}"
            return words if value is None else f"{words} {_value(value)}"
        case EventLeaf():
            return _event(predicate)
        case SeenLeaf(seen, days):
            return f"seen in the last {_days(days)}" if seen == "within" else f"not seen for {_days(days)}"


def _as_part(part: Predicate) -> str:
    text = describe(part)
    return f"({text})" if isinstance(part, AllOf | AnyOf) and len(part.parts) > 1 else text


def _event(leaf: EventLeaf) -> str:
    name = _value(leaf.event)
    window = "" if leaf.days is None else f" in {_days(leaf.days)}"
    if (leaf.op, leaf.count) in (("eq", 0), ("lte", 0), ("lt", 1)):
        return f"did not do {name}{window}" if window else f"never did {name}"
    return f"did {name} {_TIMES[leaf.op]} {leaf.count} time{'' if leaf.count == 1 else 's'}{window}"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _path(trait: str) -> str:
    return _printable(".".join(split_path(trait) or (trait,)))


def _value(value: Scalar | tuple[Scalar, ...]) -> str:
    if isinstance(value, tuple):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
        return ", ".join(map(_value, value[:_LISTED])) + more
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{_printable(value)}'" if isinstance(value, str) else str(value)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
