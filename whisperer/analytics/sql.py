"""Write the parts of a query that all questions share: who did an event, what it had, whether it passes a condition.

The text of a query consists of constants of ours and numbers that we computed; whatever a caller wrote is a parameter.
A condition's single tests are the segment language's own (:class:`whisperer.segments.TraitTest`), called by DuckDB with
the JSON text of the value: there is one definition of every operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from whisperer.analytics.questions import Breakdown, Period, Selection
from whisperer.segments import AllOf, AnyOf, Not, PropertyLeaf, TraitLeaf, TraitTest, parse_condition
from whisperer.segments.paths import join_path, split_path

MOMENT = "epoch_ms(e.timestamp)"
PROPERTIES = "/properties"

Test = Callable[[str | None], bool]

_LAST_TRAIT = """
    SELECT who, arg_max(value, (timestamp, received_at, shard, lsn, "index")) AS value
    FROM (SELECT *, coalesce({at}, {in_context}) AS value FROM history WHERE event = '$identify')
    WHERE value IS NOT NULL GROUP BY who
"""


class Query:
    """Collect the parameters, tests and sub-queries of one query while its text is written.

    Attributes
    ----------
    parameters : name -> value, for ``$name`` in the text
    tests : name of a function -> the test that it is, of the JSON text of a value (None: there is none)
    uses_who : whether it asks whose an event is, which costs more than to ask what it is
    """

    def __init__(self, period: Period) -> None:
        self.period = period
        self.parameters: dict[str, Any] = {}
        self.tests: dict[str, Test] = {}
        self.uses_who = False
        self._traits: dict[str, str] = {}

    def bind(self, value: Any) -> str:
        """Return how a value of a caller's is written: as a parameter."""
        for name, held in self.parameters.items():
            if type(held) is type(value) and held == value:
                return f"${name}"
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def property_of(self, path: str) -> str:
        """Return the SQL of the JSON text of an event's property; NULL where there is none."""
        return self._json("e.payload", PROPERTIES, path)

    def trait_of(self, path: str) -> str:
        """Return the SQL of the JSON text of a user's trait as of now; NULL where there is none."""
        steps = split_path(path)
        assert steps is not None
        relation = self._traits.setdefault(steps[0], f"trait_{len(self._traits)}")
        value = f"{relation}.value"
        return value if len(steps) == 1 else self._json(value, "", join_path(steps[1:]))

    def label(self, breakdown: Breakdown) -> str:
        """Return the SQL of the JSON text by which a breakdown divides; equal numbers have equal texts."""
        if breakdown.event:
            return "to_json(e.event)::VARCHAR"
        if breakdown.property is not None:
            text = self.property_of(breakdown.property)
        else:
            assert breakdown.trait is not None
            text = self.trait_of(breakdown.trait)
        number = f"TRY_CAST({text} AS DOUBLE)"
        whole = f"abs({number}) < 9e15 AND {number} = trunc({number})"
        return (
            f"CASE WHEN {text} = 'null' THEN NULL WHEN {number} IS NULL THEN {text} "
            f"WHEN {whole} THEN {number}::BIGINT::VARCHAR ELSE {text} END"
        )

    def number(self, path: str) -> str:
        """Return the SQL of a numeric property: a JSON number's value, NULL for everything else."""
        return f"TRY_CAST({self.property_of(path)} AS DOUBLE)"

    def selected(self, selection: Selection) -> str:
        """Return the SQL of whether an event is selected."""
        parts = []
        if selection.event is not None:
            parts.append(f"e.event = {self.bind(selection.event)}")
        if selection.where is not None:
            parts.append(self.condition(selection.where))
        return f"({' AND '.join(parts)})" if parts else "true"

    def condition(self, written: dict[str, Any]) -> str:
        """Return the SQL of a condition that was checked."""
        return self._condition(parse_condition(written))

    def within(self, since: int, until: int) -> str:
        """Return the SQL of whether an event's time is in [since, until), ms UTC."""
        return f"e.timestamp >= {self.moment(since)} AND e.timestamp < {self.moment(until)}"

    def moment(self, at: int) -> str:
        """Return the SQL of a moment in ms UTC, to compare an event's time with."""
        return f"make_timestamp({at * 1000})::TIMESTAMP_MS"

    def who(self) -> str:
        """Return the SQL of whose an event is: the key that its user has now."""
        self.uses_who = True
        return "e.who"

    def of_events(self) -> str:
        """Return the FROM clause of the events with all that the query looks at; call it last."""
        joined = "".join(f" LEFT JOIN {name} ON {name}.who = {self.who()}" for name in self._traits.values())
        return f"FROM {'known' if self.uses_who else 'events'} e{joined}"

    def opening(self) -> str:
        """Return the WITH clause that ``of_events`` needs, "" if none."""
        parts = []
        for trait, name in self._traits.items():
            at, in_context = (
                self._json("payload", where, join_path((trait,))) for where in ("/traits", "/context/traits")
            )
            parts.append(f"{name} AS MATERIALIZED ({_LAST_TRAIT.format(at=at, in_context=in_context)})")
        return f"WITH {', '.join(parts)} " if parts else ""

    @property
    def uses_traits(self) -> bool:
        """Whether the query reads the relation ``history``: the tenant's events of all time."""
        return bool(self._traits)

    def _json(self, column: str, below: str, path: str) -> str:
        steps = split_path(path)
        assert steps is not None
        pointer = below + "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
        return f"TRY(json_extract({column}, {self.bind(pointer)}))::VARCHAR"

    def _condition(self, condition: Any) -> str:
        match condition:
            case AllOf(parts):
                return f"({' AND '.join(map(self._condition, parts))})" if parts else "true"
            case AnyOf(parts):
                return f"({' OR '.join(map(self._condition, parts))})"
            case Not(part):
                return f"(NOT {self._condition(part)})"
            case PropertyLeaf():
                return self._test(condition.as_trait(), self.property_of(condition.property))
            case TraitLeaf():
                return self._test(condition, self.trait_of(condition.trait))
        raise AssertionError(condition)

    def _test(self, leaf: TraitLeaf, text: str) -> str:
        check = TraitTest.of(leaf).check
        name = f"passes_{len(self.tests)}"
        self.tests[name] = lambda seen: check(None if seen is None else msgspec.json.decode(seen))
        return f"{name}({text})"
