"""Define the template language (the subset of Liquid's tags and filters) and compile texts.

Guarantees: nothing reads other templates, files or the clock, nothing switches escaping off, and the cost of everything
follows from its arguments. An unknown tag, filter or variable is reported on compiling, not when a message is due.
Sizes are checked before Liquid's lexer runs, whose time on broken input grows with the cube of a tag's length.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from liquid import BoundTemplate, Environment, Mode, Undefined
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import FilterArgumentError, LiquidError
from liquid.filter import sequence_filter, string_filter, with_environment
from liquid.token import TOKEN_CONTENT, TOKEN_ILLEGAL, TOKEN_OUTPUT

from whisperer.content import formats, limits
from whisperer.content.bounded import BoundedRange, Missing
from whisperer.content.catalogue_tag import CatalogueNode, CatalogueTag, Pick
from whisperer.content.coupon_tag import CouponNode, CouponTag
from whisperer.content.errors import TemplateError
from whisperer.content.json_text import JsonOutput, json_filter
from whisperer.content.supplies import MOST_POOLS
from whisperer.errors import Problem

TAGS = ("if", "unless", "case", "for", "break", "continue", "assign", "capture", "cycle", "comment", "#")
"""The allowed tags of Liquid's own, besides ``raw``, which the lexer handles itself."""
OUR_TAGS = (CatalogueTag, CouponTag)
_NOT_IN_JSON = ("capture", "cycle")  # their output would be escaped twice or not at all
_INTERNAL_TAGS = (TOKEN_CONTENT, TOKEN_OUTPUT, TOKEN_ILLEGAL)

TEXT_FILTERS = (
    *("append", "prepend", "capitalize", "downcase", "upcase", "strip", "lstrip", "rstrip", "squish", "strip_newlines"),
    *("remove", "remove_first", "replace", "replace_first", "slice", "split", "truncate", "truncatewords"),
    *("escape", "escape_once", "newline_to_br", "url_encode"),
)
NUMBER_FILTERS = (
    "abs",
    "at_least",
    "at_most",
    "ceil",
    "divided_by",
    "floor",
    "minus",
    "modulo",
    "plus",
    "round",
    "times",
)
LIST_FILTERS = (
    *("compact", "concat", "first", "last", "join", "map", "reverse", "size", "sort", "sort_natural", "sum", "where"),
)
OTHER_FILTERS = ("default", "json")
FILTERS = (*TEXT_FILTERS, *NUMBER_FILTERS, *LIST_FILTERS, *OTHER_FILTERS, *formats.FILTERS)

VARIABLES = frozenset(
    {
        *("user", "features", "event", "offer", "recent", "brand", "campaign", "arm", "locale", "dir"),
        *("unsubscribe_url", "now", "generated"),
    }
)
RECENT = "recent"


@dataclass(frozen=True, slots=True)
class CompiledText:
    """Hold one compiled text.

    ``n_markup`` counts its characters of markup, delimiters included; ``picks`` and ``pools`` are what its tags take
    from catalogues and coupon pools, ``shows_recent`` says that it uses the user's latest events.
    """

    template: BoundTemplate
    n_markup: int
    shows_recent: bool = False
    picks: tuple[Pick, ...] = ()
    pools: frozenset[str] = frozenset()


def compile_part(source: str, *, escapes: str, refuse_missing: bool, max_bytes: int) -> CompiledText:
    """Compile the text of one part; ``escapes`` is "html", "json" or "" for plain text. Raises TemplateError."""
    n_markup = _count_markup(source)
    environment = _environment(escapes, refuse_missing, max_bytes)
    try:
        template = environment.from_string(source)
    except LiquidError as error:
        raise TemplateError([_refusal(error, source)]) from None
    try:
        problems, shows_recent = _names(template), RECENT in template.analyze(include_partials=False).globals
        nodes = _bound_ranges(template)
    except RecursionError:
        raise TemplateError([_problem("syntax_error", "an expression is nested too deep; use assign")]) from None
    if problems:
        raise TemplateError(problems)
    pools = frozenset(node.pool for node in nodes if isinstance(node, CouponNode))
    if len(pools) > MOST_POOLS:
        raise TemplateError([_problem("too_many", f"one part takes codes from at most {MOST_POOLS} pools")])
    picks = tuple(node.pick for node in nodes if isinstance(node, CatalogueNode))
    return CompiledText(template, n_markup, shows_recent, picks, pools)


@functools.lru_cache(maxsize=64)
def _environment(escapes: str, refuse_missing: bool, max_bytes: int) -> Environment:
    environment = Environment(
        tolerance=Mode.STRICT,
        undefined=Missing if refuse_missing else Undefined,
        strict_filters=True,
        autoescape=escapes == "html",
    )
    environment.output_stream_limit = max_bytes  # type: ignore[misc]  # of this environment alone
    tags = [tag for tag in TAGS if escapes != "json" or tag not in _NOT_IN_JSON]
    environment.tags = {name: environment.tags[name] for name in (*tags, *_INTERNAL_TAGS)}
    for tag in OUR_TAGS:
        environment.add_tag(tag)
    if escapes == "json":
        environment.add_tag(JsonOutput)
    ours = {**formats.FILTERS, "json": json_filter, "replace": _replace, "join": _join}
    environment.filters = {name: ours.get(name) or environment.filters[name] for name in FILTERS}
    return environment


def _count_markup(source: str) -> int:
    """Count the characters of markup; raise TemplateError if there are too many or a delimiter is not closed."""
    total, at = 0, 0
    while True:
        opened = min((found for found in (source.find("{{", at), source.find("{%", at)) if found >= 0), default=-1)
        if opened < 0:
            return total
        closing = "}}" if source[opened + 1] == "{" else "%}"
        closed = source.find(closing, opened + 2)
        line = source.count("\n", 0, opened) + 1
        if closed < 0:
            message = f"line {line}: {source[opened : opened + 2]} is never closed"
            raise TemplateError([_problem("syntax_error", message)])
        at = closed + 2
        if at - opened > limits.MAX_TAG_CHARS:
            message = f"line {line}: one tag has at most {limits.MAX_TAG_CHARS:,} characters; is a {closing} missing?"
            raise TemplateError([_problem("too_long", message)])
        total += at - opened
        if total > limits.MAX_MARKUP_CHARS:
            message = f"all tags of a part have at most {limits.MAX_MARKUP_CHARS:,} characters together"
            raise TemplateError([_problem("too_long", message)])


def _problem(code: str, message: str) -> Problem:
    return Problem(pointer="", code=code, message=message)


def _refusal(error: LiquidError, source: str) -> Problem:
    message = str(error.message or "this is not Liquid")
    token = error.token
    if token is not None and 0 <= token.start_index <= len(source):
        message = f"line {source.count(chr(10), 0, token.start_index) + 1}: {message}"
    if "unexpected tag" in message or "missing tag name" in message:
        ours = ", ".join(tag.name for tag in OUR_TAGS)
        return _problem("unknown_tag", f"{message}; there are {', '.join(TAGS)}, {ours} and raw")
    return _problem("syntax_error", message)


def _names(template: BoundTemplate) -> list[Problem]:
    used = template.analyze(include_partials=False)
    problems = [
        _problem("unknown_filter", f"there is no filter {name!r}")
        for name in used.filters
        if name not in template.env.filters
    ]
    for name in used.globals:
        if name not in VARIABLES:
            hint = f"; a trait is written user.{name}" if name.isidentifier() else ""
            problems.append(_problem("unknown_variable", f"there is no variable {name!r}{hint}"))
    return problems


def _bound_ranges(template: BoundTemplate) -> list[Node]:
    """Bound every range of a template, and return all its nodes."""
    context = template.context_class(template)
    nodes, found = list(template.nodes), []
    while nodes:
        node = nodes.pop()
        found.append(node)
        nodes += node.children(context)
        for expression in node.expressions():
            for one in _within(expression):
                if type(one) is RangeLiteral:
                    one.__class__ = BoundedRange
    return found


def _within(expression: Any) -> Iterator[Any]:
    yield expression
    for child in expression.children():
        yield from _within(child)


# Liquid's own versions multiply the lengths of their arguments before anything can check the result.


@string_filter
def _replace(value: str, old: object, new: object = "") -> str:
    seq, sub = str(old), new if isinstance(new, str) else str(new)
    if len(value) + value.count(seq) * len(sub) > limits.MAX_VALUE_CHARS:
        raise FilterArgumentError("replace makes too long a text", token=None)
    return value.replace(seq, sub)


@with_environment
@sequence_filter
def _join(values: list[object], separator: object = " ", *, environment: Any) -> str:
    glue = separator if isinstance(separator, str) else str(separator)
    if len(glue) * len(values) > limits.MAX_VALUE_CHARS:
        raise FilterArgumentError("join makes too long a text", token=None)
    joined: str = _liquid_join(values, glue, environment=environment)
    return joined


_liquid_join = Environment().filters["join"]
