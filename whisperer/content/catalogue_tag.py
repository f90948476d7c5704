"""Define the tag that picks items of a catalogue into a variable.

    {% catalogue picks from "products" where category == user.favourite and price <= 50 sort "-price" limit 3 %}

Conditions are joined by ``and``; a condition is a field, an operator and a value. The catalogue, the fields and the
limit are written out, so that what a template uses is known before anybody gets it. A value that is not there equals
nothing: such a condition picks no item, and ``!=`` and ``not in`` with it keep all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TextIO

from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions import Identifier, parse_identifier, parse_primitive
from liquid.exceptions import LiquidError, LiquidSyntaxError
from liquid.expression import Expression
from liquid.tag import Tag
from liquid.token import TOKEN_EOF, TOKEN_INTEGER, TOKEN_STRING, TOKEN_TAG, Token
from liquid.undefined import Undefined

from whisperer.content.bounded import Context
from whisperer.content.catalogue.table import MOST_PICKED, OPERATORS, SORTABLE, Condition, ItemTable

MOST_CONDITIONS = 8
USUAL_LIMIT = 10

_OPERATOR_OF = {"==": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OPERATOR_OF |= {"contains": "contains", "in": "in"}


@dataclass(frozen=True, slots=True)
class Test:
    """One condition as it is written."""

    field: str
    operator: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Pick:
    """What one tag asks of a catalogue; ``sort`` as :meth:`~whisperer.content.catalogue.table.ItemTable.pick` has
    it."""

    catalogue: str
    tests: tuple[Test, ...]
    sort: str
    limit: int

    def flaw(self, table: ItemTable) -> str | None:
        """Return what the catalogue does not have that this asks for, in words, or None."""
        return flaw_of(self, table.kind)


def flaw_of(pick: Pick, kind_of: Any) -> str | None:
    """Return what is wrong with a pick, in words, or None; ``kind_of``: field -> kind, or None for none."""
    for test in pick.tests:
        kind = kind_of(test.field)
        if kind is None:
            return f"catalogue {pick.catalogue!r} has no field {test.field!r}"
        if test.operator not in OPERATORS[kind]:
            return f"{test.field} is a {kind}, which is compared by {', '.join(OPERATORS[kind])}, not {test.operator}"
    field = pick.sort.removeprefix("-")
    if field:
        kind = kind_of(field)
        if kind is None:
            return f"catalogue {pick.catalogue!r} has no field {field!r}"
        if kind not in SORTABLE:
            return f"{field} is a {kind}, by which nothing is sorted"
    return None


class CatalogueNode(Node):
    """Assigns the picked items."""

    __slots__ = ("name", "pick")

    def __init__(self, token: Token, name: Identifier, pick: Pick) -> None:
        super().__init__(token)
        self.name = name
        self.pick = pick

    def __str__(self) -> str:
        tests = " and ".join(f"{test.field} {test.operator} {test.value}" for test in self.pick.tests)
        where = f" where {tests}" if tests else ""
        sort = f' sort "{self.pick.sort}"' if self.pick.sort else ""
        return f'{{% catalogue {self.name} from "{self.pick.catalogue}"{where}{sort} limit {self.pick.limit} %}}'

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        assert isinstance(context, Context), "every template is rendered in a context of ours"
        table = context.supplies.catalogues.get(self.pick.catalogue)
        if table is None:
            if not context.supplies.is_simulated:
                raise LiquidError(f"there is no catalogue {self.pick.catalogue!r}", token=self.token)
            context.assign(self.name, [])
            return 0
        flaw = self.pick.flaw(table)
        if flaw is not None:
            raise LiquidError(flaw, token=self.token)
        context.spend(table.work(len(self.pick.tests)))
        conditions = [Condition(test.field, test.operator, _given(test, context)) for test in self.pick.tests]
        picked = table.pick(conditions, self.pick.sort, self.pick.limit)
        context.supplies.picked_urls.extend(item[field] for item in picked for field in table.urls if field in item)
        context.assign(self.name, picked)
        return 0

    def expressions(self) -> Iterable[Expression]:
        return [test.value for test in self.pick.tests]

    def template_scope(self) -> Iterable[Identifier]:
        yield self.name


def _given(test: Test, context: Context) -> Any:
    value = test.value.evaluate(context)
    if isinstance(value, Undefined):
        return None
    if isinstance(value, (list, tuple, range)):
        context.spend(len(value))
    return value


class CatalogueTag(Tag):
    """``{% catalogue NAME from "CATALOGUE" [where ...] [sort "FIELD"] [limit N] %}``"""

    name = "catalogue"
    block = False
    node_class = CatalogueNode

    def parse(self, stream: TokenStream) -> CatalogueNode:
        token = stream.eat(TOKEN_TAG)
        tokens = stream.into_inner(tag=token, eat=False)
        name = parse_identifier(self.env, tokens, allow_trailing_question_mark=False)
        _word(tokens, "from")
        catalogue = tokens.eat(TOKEN_STRING).value
        tests: list[Test] = []
        sort, limit = "", USUAL_LIMIT
        if tokens.current.value == "where":
            tests.append(self._test(tokens))
            while tokens.current.value == "and":
                tests.append(self._test(tokens))
        if len(tests) > MOST_CONDITIONS:
            raise LiquidSyntaxError(f"a tag has at most {MOST_CONDITIONS} conditions", token=token)
        if tokens.current.value == "sort":
            next(tokens)
            sort = tokens.eat(TOKEN_STRING).value
        if tokens.current.value == "limit":
            next(tokens)
            written = tokens.eat(TOKEN_INTEGER)
            limit = int(written.value)
            if not 1 <= limit <= MOST_PICKED:
                raise LiquidSyntaxError(f"limit is 1 to {MOST_PICKED}", token=written)
        if tokens.current.kind != TOKEN_EOF:
            found = tokens.current
            message = f"{found.value!r} stands where the tag ends: where ... and ..., sort, limit, in this order"
            raise LiquidSyntaxError(message, token=found)
        return CatalogueNode(token, name, Pick(catalogue, tuple(tests), sort, limit))

    def _test(self, tokens: TokenStream) -> Test:
        next(tokens)  # where, and
        field = next(tokens)
        operator = next(tokens)
        negated = operator.value == "not"
        if negated:
            operator = next(tokens)
        meant = _OPERATOR_OF.get(operator.value)
        if meant is None or (negated and meant != "in"):
            known = ", ".join(["==", "!=", "<", "<=", ">", ">=", "contains", "in", "not in"])
            raise LiquidSyntaxError(f"{operator.value!r} is no comparison; there are {known}", token=operator)
        return Test(field.value, "not in" if negated else meant, parse_primitive(self.env, tokens))


def _word(tokens: TokenStream, word: str) -> None:
    found = next(tokens)
    if found.value != word:
        raise LiquidSyntaxError(f"expected {word}, found {found.value!r}", token=found)
