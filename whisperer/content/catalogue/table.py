"""Hold a catalogue's items in memory, and pick some of them for a template.

Guarantees: a table never changes, so that threads share it; the same question has the same answer, whatever the
database's order: what is not sorted, and equals of what is, stand by id. A pick looks at each column that it names as a
whole: 50,000 items take well under a millisecond a condition, once the column was used before (docs/catalogues.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.content.catalogue.fields import ID, Fields, time_ms

MOST_PICKED = 50
ITEMS_PER_UNIT = 50
"""Items that a condition looks at for one unit of a template's work (``limits.MAX_WORK``)."""

EQUALITY, ORDER, MEMBERSHIP = ("==", "!="), ("<", "<=", ">", ">="), ("in", "not in")
OPERATORS: dict[str, tuple[str, ...]] = {
    "string": (*EQUALITY, *MEMBERSHIP),
    "url": (*EQUALITY, *MEMBERSHIP),
    "number": (*EQUALITY, *ORDER, *MEMBERSHIP),
    "time": (*EQUALITY, *ORDER),
    "boolean": EQUALITY,
    "list": ("contains",),
}
"""Kind -> how its values may be compared."""
SORTABLE = ("string", "number", "time", "boolean")

_COMPARED: dict[str, Callable[[Any, float], Any]] = {
    "==": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ABSENT = -1

Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Condition:
    """Compare a field of each item with a value. ``value`` None: one that is not there, which nothing equals."""

    field: str
    operator: str
    value: Any


class ItemTable:
    """The items of one catalogue.

    Attributes
    ----------
    fields : field -> kind
    urls : the fields that hold addresses
    n_bytes : of the items as JSON
    """

    def __init__(self, fields: Fields, items: Iterable[tuple[str, bytes]]) -> None:
        self.fields = dict(fields)
        self.urls = tuple(field for field, kind in fields.items() if kind == "url")
        held = sorted(items)
        self._ids = [id for id, _ in held]
        self._texts = [text for _, text in held]
        self._row_of = {id: row for row, id in enumerate(self._ids)}
        self.n_bytes = sum(map(len, self._texts))
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._words: dict[str, tuple[NDArray[np.int32], dict[str, int]]] = {}
        self._lists: dict[str, dict[str, NDArray[np.int32]]] = {}
        self._orders: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def kind(self, field: str) -> str | None:
        """Return the kind of a field, the id included; None if there is none."""
        return "string" if field == ID else self.fields.get(field)

    def work(self, n_conditions: int) -> int:
        """Return what a pick costs, in units of a template's work."""
        return 1 + (1 + n_conditions) * (len(self) // ITEMS_PER_UNIT + 1)

    def pick(self, conditions: Sequence[Condition], sort: str, limit: int) -> list[dict[str, Any]]:
        """Return up to ``limit`` items that meet all conditions, as their values by field.

        ``sort``: a field, with a minus in front from the greatest down, what has none last; "" for the order of the
        first ``id in`` among the conditions, else by id. Fields and operators are those of the table.
        """
        meets = np.ones(len(self), np.bool_)
        for condition in conditions:
            meets &= self._meeting(condition)
        if sort:
            order = self._order(sort)
            rows = order[meets[order]][:limit]
        else:
            named = next((one for one in conditions if one.field == ID and one.operator == "in"), None)
            if named is None:
                rows = np.flatnonzero(meets)[:limit]
            else:
                asked = dict.fromkeys(self._row_of.get(word, _ABSENT) for word in _words_in(named.value))
                rows = np.array([row for row in asked if row >= 0 and meets[row]][:limit], np.int64)
        return [msgspec.json.decode(self._texts[row]) for row in rows.tolist()]

    def _meeting(self, condition: Condition) -> Rows:
        kind, operator, value = self.kind(condition.field), condition.operator, condition.value
        if kind == "list":
            found = np.zeros(len(self), np.bool_)
            found[self._postings(condition.field).get(_word(value) or "", np.empty(0, np.int32))] = True
            return found
        if operator in MEMBERSHIP:
            found = self._among(condition.field, kind, value)
            return ~found if operator == "not in" else found
        if operator == "!=":
            return ~self._meeting(Condition(condition.field, "==", value))
        if kind in ("string", "url"):
            word = _word(value)
            if condition.field == ID:
                return self._among(ID, kind, [word])
            codes, code_of = self._coded(condition.field)
            return np.asarray(codes == (_ABSENT - 1 if word is None else code_of.get(word, _ABSENT - 1)))
        number = _number(kind, value)
        if number is None:
            return np.zeros(len(self), np.bool_)
        met: Rows = _COMPARED[operator](self._numeric(condition.field), number)  # NaN, which is absent, meets nothing
        return met

    def _among(self, field: str, kind: str | None, value: Any) -> Rows:
        if field == ID:
            found = np.zeros(len(self), np.bool_)
            found[[self._row_of[word] for word in _words_in(value) if word in self._row_of]] = True
            return found
        if kind == "number":
            values = value if isinstance(value, (list, tuple, range)) else [value]
            numbers = [number for one in values if (number := _number(kind, one)) is not None]
            return np.isin(self._numeric(field), numbers)
        codes, code_of = self._coded(field)
        return np.isin(codes, [code_of[word] for word in _words_in(value) if word in code_of])

    def _order(self, sort: str) -> NDArray[np.int64]:
        """Return all rows in an order."""
        held = self._orders.get(sort)
        if held is None:
            field, descends = sort.removeprefix("-"), sort.startswith("-")
            if field == ID:
                keys = np.arange(len(self), dtype=np.float64)
            elif self.fields[field] == "string":
                codes, code_of = self._coded(field)
                ranks = np.full(len(code_of) + 1, np.nan)
                for rank, word in enumerate(sorted(code_of)):
                    ranks[code_of[word]] = rank
                keys = ranks[codes]  # an absent one is the last, which is NaN
            else:
                keys = self._numeric(field)
            held = self._orders[sort] = np.argsort(-keys if descends else keys, kind="stable")
        return held

    def _numeric(self, field: str) -> NDArray[np.float64]:
        held = self._numbers.get(field)
        if held is None:
            kind = self.fields[field]
            values = (_number(kind, value) for value in self._column(field))
            held = np.fromiter((np.nan if one is None else one for one in values), np.float64, len(self))
            self._numbers[field] = held
        return held

    def _coded(self, field: str) -> tuple[NDArray[np.int32], dict[str, int]]:
        held = self._words.get(field)
        if held is None:
            code_of: dict[str, int] = {}
            codes = (
                _ABSENT if word is None else code_of.setdefault(word, len(code_of)) for word in self._column(field)
            )
            held = np.fromiter(codes, np.int32, len(self)), code_of
            self._words[field] = held
        return held

    def _postings(self, field: str) -> dict[str, NDArray[np.int32]]:
        held = self._lists.get(field)
        if held is None:
            rows_of: dict[str, list[int]] = {}
            for row, words in enumerate(self._column(field)):
                for word in dict.fromkeys(filter(None, words or ())):  # an empty word is what nothing is looked for by
                    rows_of.setdefault(word, []).append(row)
            held = self._lists[field] = {word: np.array(rows, np.int32) for word, rows in rows_of.items()}
        return held

    def _column(self, field: str) -> Iterable[Any]:
        """Yield one field's value of each item, None where it is absent; the others are not decoded."""
        one = msgspec.defstruct("One", [("value", Any, None)], rename={"value": field})
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(one).decode
        return (decode(text).value for text in self._texts)


def _word(value: Any) -> str | None:
    """Return a value as a text to look for: ids are often written as numbers."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return str(int(value)) if float(value).is_integer() else str(value)


def _words_in(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple, range)) else [value]
    return [word for one in values if (word := _word(one)) is not None]


def _number(kind: str | None, value: Any) -> float | None:
    if kind == "time":
        return time_ms(value)
    if isinstance(value, bool):
        return float(value) if kind == "boolean" else None
    if kind == "boolean" or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None


EMPTY: Mapping[str, ItemTable] = {}
