"""Define the operators, in one table each for traits, features and counts.

Decides what each operator means, which kind of value it takes, whether ``ignore_case`` applies, and its wording in
English. A trait operator's ``build`` turns the value of a predicate, which the parser has checked, into a check of
one decoded JSON value (None if the trait is absent or null). A check never raises: what it cannot compare is false,
and the negative operators are exact negations, so ``ne`` is true for an absent trait. A bool is not a number; int and
float compare exactly, by value.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from whisperer.segments.dates import instant_ns
from whisperer.segments.predicate import Scalar, Value

Check = Callable[[Any], bool]
Build = Callable[[Value, bool], Check]

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Takes(Enum):
    """Name the kind of value that an operator needs; the text is what an error shows the author."""

    NOTHING = "no value"
    SCALAR = "a text, a number or a bool"
    NUMBER = "a number"
    TEXT = "a text"
    DATE = "an ISO 8601 date such as 2026-01-31 or 2026-01-31T09:00:00Z"
    LIST = "a list of texts, numbers or bools"


@dataclass(frozen=True, slots=True)
class TraitOperator:
    takes: Takes
    words: str
    build: Build
    folds_case: bool = False


def is_number(seen: Any) -> bool:
    """Check if a decoded JSON value is a number; a bool is not."""
    return isinstance(seen, int | float) and not isinstance(seen, bool)


def _typed(scalar: Scalar, ignore_case: bool) -> tuple[str, Scalar]:
    """Return a key that is the same for two scalars only if their types and values are."""
    if isinstance(scalar, str):
        return "text", scalar.casefold() if ignore_case else scalar
    return ("bool" if isinstance(scalar, bool) else "number"), scalar


def _one_of(value: Value, ignore_case: bool) -> Check:
    wanted = {_typed(v, ignore_case) for v in cast("tuple[Scalar, ...]", value)}
    return lambda seen: isinstance(seen, str | int | float) and _typed(seen, ignore_case) in wanted


def _equals(value: Value, ignore_case: bool) -> Check:
    return _one_of((cast(Scalar, value),), ignore_case)


def _ordered(name: str) -> Build:
    compare = COMPARE[name]
    return lambda value, _: lambda seen: is_number(seen) and bool(compare(seen, value))


def _contains(value: Value, ignore_case: bool) -> Check:
    equals = _equals(value, ignore_case)
    part = value.casefold() if ignore_case and isinstance(value, str) else value

    def check(seen: Any) -> bool:
        if isinstance(seen, list):
            return any(map(equals, seen))
        if isinstance(seen, str) and isinstance(part, str):
            return part in (seen.casefold() if ignore_case else seen)
        return False

    return check


def _contains_each(decide: Callable[[Any], bool]) -> Build:
    def build(value: Value, ignore_case: bool) -> Check:
        checks = [_contains(v, ignore_case) for v in cast("tuple[Scalar, ...]", value)]
        return lambda seen: decide(check(seen) for check in checks)

    return build


def _affix(matches: Callable[[str, str], bool]) -> Build:
    def build(value: Value, ignore_case: bool) -> Check:
        affix = cast(str, value)
        if ignore_case:
            folded = affix.casefold()
            return lambda seen: isinstance(seen, str) and matches(seen.casefold(), folded)
        return lambda seen: isinstance(seen, str) and matches(seen, affix)

    return build


def _dated(name: str) -> Build:
    compare = COMPARE[name]

    def build(value: Value, _: bool) -> Check:
        limit = instant_ns(cast(str, value))

        def check(seen: Any) -> bool:
            when = instant_ns(seen) if isinstance(seen, str) else None
            return when is not None and bool(compare(when, limit))

        return check

    return build


def _exists(value: Value, ignore_case: bool) -> Check:
    return lambda seen: seen is not None


def _negated(build: Build) -> Build:
    def negated(value: Value, ignore_case: bool) -> Check:
        check = build(value, ignore_case)
        return lambda seen: not check(seen)

    return negated


TRAIT_OPERATORS: dict[str, TraitOperator] = {
    "eq": TraitOperator(Takes.SCALAR, "is", _equals, folds_case=True),
    "ne": TraitOperator(Takes.SCALAR, "is not", _negated(_equals), folds_case=True),
    "gt": TraitOperator(Takes.NUMBER, "is more than", _ordered("gt")),
    "gte": TraitOperator(Takes.NUMBER, "is at least", _ordered("gte")),
    "lt": TraitOperator(Takes.NUMBER, "is less than", _ordered("lt")),
    "lte": TraitOperator(Takes.NUMBER, "is at most", _ordered("lte")),
    "contains": TraitOperator(Takes.SCALAR, "contains", _contains, folds_case=True),
    "not_contains": TraitOperator(Takes.SCALAR, "does not contain", _negated(_contains), folds_case=True),
    "contains_any": TraitOperator(Takes.LIST, "contains any of", _contains_each(any), folds_case=True),
    "contains_all": TraitOperator(Takes.LIST, "contains all of", _contains_each(all), folds_case=True),
    "starts_with": TraitOperator(Takes.TEXT, "starts with", _affix(str.startswith), folds_case=True),
    "ends_with": TraitOperator(Takes.TEXT, "ends with", _affix(str.endswith), folds_case=True),
    "in": TraitOperator(Takes.LIST, "is one of", _one_of, folds_case=True),
    "not_in": TraitOperator(Takes.LIST, "is none of", _negated(_one_of), folds_case=True),
    "exists": TraitOperator(Takes.NOTHING, "is set", _exists),
    "not_exists": TraitOperator(Takes.NOTHING, "is not set", _negated(_exists)),
    "before": TraitOperator(Takes.DATE, "is before", _dated("lt")),
    "after": TraitOperator(Takes.DATE, "is after", _dated("gt")),
}

FEATURE_OPERATORS = (*COMPARE, "exists", "not_exists")
COUNT_OPERATORS = tuple(COMPARE)
