"""Bound a rendering: every loop, filter, assignment and range is paid for out of one budget, so it always ends.

Liquid's own limits count nested loops, not loops one after another, and never check what a filter produces. Here the
budget is ``limits.MAX_WORK`` for one part, and running out of it raises like any template error. The context also hides
the machine's clock (Liquid's built-in ``now`` and ``today``) and treats null as absent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from babel import Locale
from liquid import BoundTemplate, RenderContext
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import FilterArgumentError, LiquidError, LocalNamespaceLimitError, LoopIterationLimitError
from liquid.undefined import UNDEFINED, FalsyStrictUndefined, Undefined
from liquid.utils import ReadOnlyChainMap

from whisperer.content import formats, limits
from whisperer.content.supplies import Supplies

ANSWER_FOR_ABSENT = frozenset({"default", "json"})
"""Filters that give an answer for an absent value: its replacement, and null."""


class Missing(FalsyStrictUndefined):
    """Stand for a missing variable when the template says ``"missing": "refuse"``.

    It may be tested (``if``, ``default``), but writing it raises, with its name as the message.
    """

    def __init__(self, name: str, *, token: Any, obj: object = UNDEFINED, hint: str | None = None) -> None:
        super().__init__(name, token=token, obj=obj, hint=hint)
        path = hint.removesuffix(" is undefined").strip("'") if hint and hint.endswith(" is undefined") else name
        self.msg = path


class BoundedRange(RangeLiteral):
    """Evaluate ``(1..n)`` to at most ``limits.MAX_ITERATIONS`` numbers.

    It replaces every range of a compiled template: Liquid's own may have any length, and some tags walk it before they
    count it.
    """

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        start, stop = (_whole(end.evaluate(context)) for end in (self.start, self.stop))
        if stop - start >= limits.MAX_ITERATIONS:
            raise LoopIterationLimitError(f"a range has at most {limits.MAX_ITERATIONS:,} numbers", token=self.token)
        return range(start, stop + 1) if start <= stop else range(0)


class Context(RenderContext):
    """Hold what one rendering of one part knows, and what it may still spend."""

    def __init__(
        self,
        template: BoundTemplate,
        variables: Mapping[str, object],
        *,
        n_markup: int,
        conventions: Locale,
        zone: tzinfo,
        supplies: Supplies | None = None,
    ) -> None:
        super().__init__(template, globals=variables)
        self.supplies = supplies or Supplies()
        self.scope = ReadOnlyChainMap(self.locals, self.globals, self.counters)
        self.conventions = conventions
        self.zone = zone
        self._n_markup = max(1, n_markup)
        self._work = limits.MAX_WORK
        self._iterations = limits.MAX_ITERATIONS
        self._local_bytes = 0

    def spend(self, work: int) -> None:
        """Pay for work, in characters. Raises LoopIterationLimitError once the budget is spent."""
        self._work -= work
        if self._work < 0:
            raise LoopIterationLimitError("the template does too much; shorten its loops", token=None)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Pay for a loop of ``length`` iterations, on entering it. Raises LoopIterationLimitError if too many."""
        self._iterations -= length
        if self._iterations < 0:
            raise LoopIterationLimitError(f"more than {limits.MAX_ITERATIONS:,} iterations of loops", token=None)
        self.spend(length * self._n_markup)

    def assign(self, key: str, val: Any) -> None:
        held = self.locals.get(key)
        self._local_bytes += sys.getsizeof(val, 1) - (0 if held is None else sys.getsizeof(held, 1))
        if self._local_bytes > limits.MAX_WORK:
            raise LocalNamespaceLimitError("the template keeps too much in its own variables", token=None)
        self.spend(weight(val))
        self.locals[key] = val

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        found = super().get(path, token=token, default=default)
        if found is None and default is UNDEFINED:
            shown = ".".join(str(step) for step in path)
            return self.env.undefined(str(path[0]), hint=f"{shown} is undefined", token=token)
        return found

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        """Return the filter, wrapped so that its work is paid for.

        An absent value stays absent, and so does a result that needs an absent argument: in the message it is blank,
        whatever the filter would make of nothing.
        """
        apply = super().filter(name, token)

        def bounded(left: object, *args: object, **kwargs: object) -> object:
            absent = [given for given in (left, *args, *kwargs.values()) if isinstance(given, Undefined)]
            if name != "default":
                for given in absent:
                    str(given)  # raises if missing variables are refused, whatever the filter makes of them
                if name not in ANSWER_FOR_ABSENT and self._is_absent(left, name):
                    return left if isinstance(left, Undefined) else self.env.undefined(name, token=token)
            self.spend(1 + sum(weight(given) for given in (left, *args, *kwargs.values())))
            try:
                result = apply(left, *args, **kwargs)
            except (LiquidError, TypeError):
                if absent:
                    return absent[0]
                raise
            if isinstance(result, Decimal):
                result = float(result)  # Decimal("1e999999999") is short, and int() of it is not
            self.spend(weight(result))
            return result

        return bounded

    def _is_absent(self, value: object, name: str) -> bool:
        if isinstance(value, Undefined):
            return True
        # If missing variables are refused, so is a filter that cannot handle null or blank text.
        if self.env.undefined is Missing:
            return False
        return value is None or (name in formats.FILTERS and isinstance(value, str) and not value.strip())


def weight(value: object) -> int:
    """Return the cost of going through a value, in characters. Raises FilterArgumentError if it is too large."""
    total, pending = 0, [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, Mapping) and not isinstance(one, Undefined):
            total += 1
            pending += [part for item in one.items() for part in item]
        elif isinstance(one, (list, tuple)):
            total += 1
            pending += one[: limits.MAX_VALUE_CHARS]
        elif isinstance(one, range):
            total += len(one)
        elif isinstance(one, int) and one.bit_length() > limits.MAX_INT_BITS:
            raise FilterArgumentError("a number has too many digits", token=None)
        else:
            total += 1
        if total > limits.MAX_VALUE_CHARS or len(pending) > limits.MAX_VALUE_CHARS:
            raise FilterArgumentError(f"a value has over {limits.MAX_VALUE_CHARS:,} characters", token=None)
    return total


def _whole(value: object) -> int:
    if isinstance(value, Undefined):
        str(value)
        return 0
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, (int, float)) and abs(value) < 10**15:  # NaN is not
        return int(value)
    return 0
