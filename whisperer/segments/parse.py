"""Parse decoded JSON into a predicate, or list everything that is wrong with it.

Guarantees: whatever the input, either a predicate within every limit of :mod:`whisperer.segments.limits` or a
``PredicateError``; work and recursion are bounded by those limits, not by the input. Accepts only what a JSON decoder
returns (dict, list, str, int, float, bool, None).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any, cast

import msgspec

from whisperer.errors import Problem
from whisperer.segments import limits
from whisperer.segments.errors import PredicateError
from whisperer.segments.operators import COUNT_OPERATORS, FEATURE_OPERATORS, TRAIT_OPERATORS, Takes
from whisperer.segments.paths import split_path
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
from whisperer.segments.values import ValueReader, shown

_TOO_DEEP = f"all, any and not are nested over {limits.MAX_DEPTH} levels here; write it flatter"
GROUPS = ("all", "any", "not")
KINDS = (*GROUPS, "trait", "feature", "event", "seen")
CONDITION_KINDS = (*GROUPS, "property", "trait")


def parse(obj: object, features: Collection[str] | None = None) -> Predicate:
    """Check a decoded JSON predicate and return it as a value.

    Parameters
    ----------
    obj : what a JSON decoder returned.
    features : names that may be used; None leaves them to :func:`~whisperer.segments.program.compile`.

    Raises
    ------
    PredicateError : with every problem found, at most ``limits.MAX_PROBLEMS``.

    Examples
    --------
    >>> parse({"event": "Feature Used", "count": 3, "days": 7})
    EventLeaf(event='Feature Used', op='gte', count=3, days=7)
    """
    reader = _Reader(features)
    predicate = reader.node(obj, "", 0)
    if reader.problems or predicate is None:
        raise PredicateError(reader.problems)
    return predicate


def parse_condition(obj: object) -> Any:
    """Check a decoded JSON condition on one event and whoever did it: the same language, with a ``property`` as well.

    Its leaves are :class:`PropertyLeaf` and :class:`TraitLeaf`; features and counts of events have no place in it.
    Raises PredicateError.

    Examples
    --------
    >>> parse_condition({"property": "plan", "op": "eq", "value": "pro"})
    PropertyLeaf(property='plan', op='eq', value='pro', ignore_case=False)
    """
    reader = _Reader(None, CONDITION_KINDS)
    condition = reader.node(obj, "", 0)
    if reader.problems or condition is None:
        raise PredicateError(reader.problems)
    return condition


def parse_json(raw: bytes | str, features: Collection[str] | None = None) -> Predicate:
    """Do the same from JSON text. Raises PredicateError, also if the text is not JSON or too deep to decode."""
    try:
        obj = msgspec.json.decode(raw)
    except RecursionError:
        raise PredicateError([Problem(pointer="", code="too_deep", message=_TOO_DEEP)]) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        message = f"this is not JSON ({error}); send one JSON object"
        raise PredicateError([Problem(pointer="", code="malformed_json", message=message)]) from None
    return parse(obj, features)


class _Reader(ValueReader):
    """Read one predicate, once. Each method returns the value read, or None after noting a problem."""

    def __init__(self, features: Collection[str] | None, kinds: tuple[str, ...] = KINDS) -> None:
        super().__init__()
        self._features = features
        self._kinds = kinds
        self._n_nodes = 0
        self._n_leaves = 0
        self._readers: dict[str, Callable[[dict[str, Any], str], Any]] = {
            "property": self._property,
            "trait": self._trait,
            "feature": self._feature,
            "event": self._event,
            "seen": self._seen,
        }

    def node(self, obj: object, at: str, depth: int) -> Predicate | None:
        self._n_nodes += 1
        if self._n_nodes > limits.MAX_NODES:
            if self._n_nodes == limits.MAX_NODES + 1:
                self.note(at, "too_many", f"more than {limits.MAX_NODES} conditions and groups; split the segment")
            return None
        if type(obj) is not dict:
            example = '{"trait": "plan", "op": "eq", "value": "pro"}'
            self.note(at, "invalid_type", f"a condition is an object such as {example}, not {shown(obj)}")
            return None
        kinds = [kind for kind in self._kinds if kind in obj]
        if len(kinds) != 1:
            code = "ambiguous_node" if kinds else "unknown_node"
            found = f"it has {', '.join(kinds)}" if kinds else "it has none"
            self.note(at, code, f"a condition has exactly one of {', '.join(self._kinds)}; {found}")
            return None
        kind = kinds[0]
        if kind in self._readers:
            self._n_leaves += 1
            if self._n_leaves == limits.MAX_LEAVES + 1:
                self.note(at, "too_many", f"this is condition {self._n_leaves}; at most {limits.MAX_LEAVES}, split it")
            leaf: Predicate | None = self._readers[kind](obj, at)
            return leaf
        self._fields(obj, at, (kind,))
        if depth >= limits.MAX_DEPTH:
            self.note(at, "too_deep", _TOO_DEEP)
            return None
        if kind == "not":
            part = self.node(obj["not"], f"{at}/not", depth + 1)
            return None if part is None else Not(part)
        parts = self._parts(obj[kind], f"{at}/{kind}", depth + 1)
        if parts is None:
            return None
        if kind == "any" and not parts:
            self.note(f"{at}/any", "empty", "any of nothing is nobody; put a condition into the list")
        return AllOf(parts) if kind == "all" else AnyOf(parts)

    def _parts(self, obj: object, at: str, depth: int) -> tuple[Predicate, ...] | None:
        if type(obj) is not list:
            self.note(at, "invalid_type", f"write a list of conditions, not {shown(obj)}")
            return None
        if len(obj) > limits.MAX_LEAVES:
            self.note(at, "too_many", f"{len(obj)} conditions in one list; at most {limits.MAX_LEAVES}")
        parts = [self.node(part, f"{at}/{index}", depth) for index, part in enumerate(islice(obj, limits.MAX_LEAVES))]
        return None if None in parts else tuple(cast("list[Predicate]", parts))

    def _property(self, obj: dict[str, Any], at: str) -> PropertyLeaf | None:
        leaf = self._trait(obj, at, "property")
        return None if leaf is None else PropertyLeaf(leaf.trait, leaf.op, leaf.value, leaf.ignore_case)

    def _trait(self, obj: dict[str, Any], at: str, key: str = "trait") -> TraitLeaf | None:
        self._fields(obj, at, (key, "op", "value", "ignore_case"))
        trait = self.text(obj[key], f"{at}/{key}", limits.MAX_NAME)
        if trait is not None and split_path(trait) is None:
            message = "after a leading / this is a JSON Pointer, where ~ is written ~0 and / inside a name ~1"
            self.note(f"{at}/{key}", "invalid_path", message)
        op = self._operator(obj, at, TRAIT_OPERATORS)
        ignore_case = obj.get("ignore_case", False)
        if type(ignore_case) is not bool:
            self.note(f"{at}/ignore_case", "invalid_type", f"write true or false, not {shown(ignore_case)}")
            ignore_case = False
        if op is None:
            return None
        if ignore_case and not TRAIT_OPERATORS[op].folds_case:
            self.note(f"{at}/ignore_case", "not_applicable", f"{op} does not look at case; leave ignore_case out")
        value = self.value(obj, at, op, TRAIT_OPERATORS[op].takes)
        return None if trait is None else TraitLeaf(trait, cast(Any, op), value, ignore_case)

    def _feature(self, obj: dict[str, Any], at: str) -> Predicate | None:
        self._fields(obj, at, ("feature", "op", "value"))
        name = self.text(obj["feature"], f"{at}/feature", limits.MAX_NAME)
        if name is not None and self._features is not None and name not in self._features:
            self.note(**unknown_feature(at, name, self._features))
        op = self._operator(obj, at, FEATURE_OPERATORS)
        if op is None:
            return None
        takes = Takes.NOTHING if op in ("exists", "not_exists") else Takes.NUMBER
        value = self.value(obj, at, op, takes)
        return None if name is None else FeatureLeaf(name, cast(Any, op), cast("int | float | None", value))

    def _event(self, obj: dict[str, Any], at: str) -> Predicate | None:
        self._fields(obj, at, ("event", "op", "count", "days"))
        name = self.text(obj["event"], f"{at}/event", limits.MAX_NAME)
        op = self._operator(obj, at, COUNT_OPERATORS) if "op" in obj else "gte"
        count = self.whole(obj.get("count", 1), f"{at}/count", 0, limits.MAX_COUNT)
        days = obj.get("days")
        if days is not None:
            days = self.whole(days, f"{at}/days", 1, limits.MAX_EVENT_DAYS)
        if name is None or op is None or count is None:
            return None
        return EventLeaf(name, cast(Any, op), count, days)

    def _seen(self, obj: dict[str, Any], at: str) -> Predicate | None:
        self._fields(obj, at, ("seen", "days"))
        seen = obj["seen"]
        if type(seen) is not str or seen not in ("within", "not_within"):
            self.note(f"{at}/seen", "unknown_operator", f"seen is within or not_within, not {shown(seen)}")
        if "days" not in obj:
            self.note(at, "missing_field", "say within how many days, as days")
            return None
        days = self.whole(obj["days"], f"{at}/days", 1, limits.MAX_SEEN_DAYS)
        return None if days is None else SeenLeaf(cast(Any, seen), days)

    def _fields(self, obj: dict[str, Any], at: str, known: tuple[str, ...]) -> None:
        for key in islice((key for key in obj if key not in known), 8):
            place = f"{at}/{_pointer_step(key)}"
            self.note(place, "unknown_field", f"{shown(key)} means nothing here; known are {', '.join(known)}")

    def _operator(self, obj: dict[str, Any], at: str, known: Iterable[str]) -> str | None:
        if "op" not in obj:
            self.note(at, "missing_field", f"say how to compare, as op: one of {', '.join(known)}")
            return None
        op = obj["op"]
        if type(op) is not str or op not in known:
            self.note(f"{at}/op", "unknown_operator", f"op is one of {', '.join(known)}, not {shown(op)}")
            return None
        return op


def _pointer_step(key: object) -> str:
    return shown(key).strip("'").replace("~", "~0").replace("/", "~1")


def unknown_feature(at: str, name: str, known: Collection[str]) -> Problem:
    """Return the problem of a leaf at ``at`` that names no known feature."""
    some = ", ".join(sorted(known)[:20]) or "none"
    message = f"there is no feature {shown(name)}; known are {some}{', …' if len(known) > 20 else ''}"
    return Problem(pointer=f"{at}/feature", code="unknown_feature", message=message)
