"""Read the single values of a predicate: names, texts, numbers and what an operator compares with.

Every method returns the value read, or None after noting a problem at its JSON Pointer; none raises. Whole floats
become ints, because JSON does not distinguish them: 3 and 3.0 are the same predicate.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, cast

from whisperer.errors import Problem
from whisperer.segments import limits
from whisperer.segments.dates import instant_ns
from whisperer.segments.operators import Takes
from whisperer.segments.predicate import Scalar, Value

_SHOWN_CHARS = 60
_TYPES: dict[Takes, tuple[type, ...]] = {
    Takes.SCALAR: (str, int, float, bool),
    Takes.NUMBER: (int, float),
    Takes.TEXT: (str,),
    Takes.DATE: (str,),
}


def shown(value: object) -> str:
    """Return a value as an error shows it: short, and encodable as UTF-8 whatever it holds."""
    if type(value) is str:
        text = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…"
        return "'" + text.encode("utf-8", "backslashreplace").decode() + "'"
    if type(value) is float or (type(value) is int and abs(value) <= limits.MAX_INT):
        return repr(value)
    names = {dict: "an object", list: "a list", bool: "a bool", int: "a huge number", type(None): "null"}
    return names.get(type(value), "something that is not JSON")


class ValueReader:
    """Read values and collect problems; ``problems`` holds at most ``limits.MAX_PROBLEMS``."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, pointer: str, code: str, message: str) -> None:
        """Add a problem, unless there are already ``limits.MAX_PROBLEMS``."""
        if len(self.problems) < limits.MAX_PROBLEMS:
            self.problems.append(Problem(pointer=pointer, code=code, message=message))

    def value(self, obj: dict[str, Any], at: str, op: str, takes: Takes) -> Value:
        """Read what ``op`` compares with, from the key ``value`` of a leaf."""
        value, place = obj.get("value"), f"{at}/value"
        if takes is Takes.NOTHING:
            if value is not None:
                self.note(place, "not_applicable", f"{op} compares with nothing; leave value out")
            return None
        if "value" not in obj:
            self.note(at, "missing_field", f"say what to compare with, as value: {op} takes {takes.value}")
            return None
        if takes is Takes.LIST:
            return self._list(value, place, op)
        if type(value) not in _TYPES[takes]:
            hint = "; not_exists finds what is null or absent" if value is None else ""
            self.note(place, "invalid_type", f"{op} takes {takes.value}, not {shown(value)}{hint}")
            return None
        scalar = self._scalar(value, place)
        if takes is Takes.DATE and scalar is not None and instant_ns(cast(str, scalar)) is None:
            self.note(place, "invalid_date", f"{shown(scalar)} is no date; write {takes.value}")
        return scalar

    def text(self, value: object, at: str, max_chars: int, *, may_be_empty: bool = False) -> str | None:
        """Read a text of at most ``max_chars`` characters, without lone surrogates."""
        if type(value) is not str:
            self.note(at, "invalid_type", f"write a text, not {shown(value)}")
        elif not value and not may_be_empty:
            self.note(at, "empty", "this name is empty; write one")
        elif len(value) > max_chars:
            self.note(at, "too_long", f"{len(value)} characters; at most {max_chars}")
        elif any("\ud800" <= char <= "\udfff" for char in value):
            self.note(at, "invalid_text", "a lone surrogate is no Unicode text; take it out")
        else:
            return value
        return None

    def whole(self, value: object, at: str, low: int, high: int) -> int | None:
        """Read a whole number in [low, high]."""
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            self.note(at, "invalid_type", f"write a whole number from {low} to {high}, not {shown(value)}")
        elif not low <= value <= high:
            self.note(at, "out_of_range", f"write a whole number from {low} to {high}, not {shown(value)}")
        else:
            return value
        return None

    def _list(self, value: object, at: str, op: str) -> Value:
        if type(value) is not list:
            self.note(at, "invalid_type", f"{op} takes {Takes.LIST.value}, not {shown(value)}")
            return None
        if not value:
            self.note(at, "empty", f"{op} of an empty list decides nothing; put a value into it")
        if len(value) > limits.MAX_VALUES:
            self.note(at, "too_many", f"{len(value)} values; at most {limits.MAX_VALUES}")
        scalars = [self._scalar(v, f"{at}/{index}") for index, v in enumerate(islice(value, limits.MAX_VALUES))]
        return tuple(scalar for scalar in scalars if scalar is not None)

    def _scalar(self, value: object, at: str) -> Scalar | None:
        if type(value) is str:
            return self.text(value, at, limits.MAX_TEXT, may_be_empty=True)
        if type(value) is bool:
            return value
        if type(value) is int:
            if abs(value) <= limits.MAX_INT:
                return value
            self.note(at, "out_of_range", "a whole number has at most 63 bits; write a smaller one")
        elif type(value) is float:
            if math.isfinite(value):
                return int(value) if value.is_integer() and abs(value) < limits.MAX_INT else value
            self.note(at, "not_finite", "NaN and infinity compare with nothing; write a finite number")
        else:
            self.note(at, "invalid_type", f"write a text, a number or a bool, not {shown(value)}")
        return None
