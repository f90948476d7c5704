"""Write JSON from templates: the ``json`` filter, and output that cannot break out of a string.

In a webhook's body, ``"name": "{{ user.name }}"`` is escaped for the inside of a JSON string, and ``{{ user | json }}``
is a whole JSON value, so a trait can never add a key of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec
from liquid import Markup, RenderContext
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_environment
from liquid.undefined import Undefined

_encode = msgspec.json.Encoder().encode


class JsonText(str):
    """Mark text that is JSON already."""

    __slots__ = ()


@with_environment
def json_filter(value: object, *, environment: Any) -> str:
    """Write any value as JSON, null if it is missing: ``{{ user.name | json }}``."""
    text = written(None if isinstance(value, Undefined) else value)
    # In HTML it is not marked as safe, but escaped like any other text.
    return text if environment.autoescape else JsonText(text)


def written(value: object) -> str:
    """Return a value as JSON text. Raises FilterArgumentError if it has no JSON form."""
    if isinstance(value, range):
        value = list(value)
    if isinstance(value, Markup):
        value = str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterArgumentError("JSON has no NaN and no infinity", token=None)
    if isinstance(value, (Mapping, list, tuple, str, int, float)) or value is None:
        try:
            return _encode(value).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass
    raise FilterArgumentError("this value has no JSON form", token=None)


class JsonOutputNode(OutputNode):
    """Write ``{{ … }}`` in a webhook's body: a text as the inside of a JSON string, everything else as JSON."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, JsonText):
            return buffer.write(value)
        if isinstance(value, Undefined):
            return buffer.write(str(value))
        text = written(value)
        return buffer.write(text[1:-1] if isinstance(value, str) else text)


class JsonOutput(Output):
    """Parse ``{{ … }}`` into a :class:`JsonOutputNode`."""

    node_class = JsonOutputNode
