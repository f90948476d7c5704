"""Report everything that is wrong with a template at once.

A :class:`Problem` names the place by JSON Pointer (RFC 6901; ``""`` is the whole template), a stable code, and what to
do about it. One :class:`TemplateError` carries every problem found, at most ``limits.MAX_PROBLEMS``.

Codes: ``invalid_type``, ``invalid_text``, ``not_finite``, ``empty``, ``too_long``, ``too_many``, ``unknown_field``,
``missing_field``, ``unknown_channel``, ``unknown_policy``, ``unknown_part``, ``unknown_locale``, ``repeated_locale``,
``syntax_error``, ``unknown_tag``, ``unknown_filter``, ``unknown_variable``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from whisperer.errors import RequestError


class Problem(TypedDict):
    """Describe one thing that is wrong, and what to do about it."""

    pointer: str
    code: str
    message: str


class TemplateError(RequestError):
    """Say that a template cannot be used; ``errors`` has one entry per problem and goes into problem+json as it is."""

    code = "invalid_template"
    status = 422

    def __init__(self, errors: Sequence[Problem]) -> None:
        self.errors = list(errors)
        places = "; ".join(f"{e['pointer'] or 'template'}: {e['message']}" for e in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        super().__init__(f"The template cannot be used: {places}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)
