"""Report everything that is wrong with a predicate at once.

A :class:`Problem` gives the place as a JSON Pointer (RFC 6901; ``""`` is the whole predicate), a stable code, and what
to do about it. One :class:`PredicateError` carries every problem found, at most ``limits.MAX_PROBLEMS``.

Codes: ``malformed_json``, ``invalid_type``, ``invalid_text``, ``invalid_path``, ``invalid_date``, ``not_finite``,
``out_of_range``, ``empty``, ``too_long``, ``too_many``, ``too_deep``, ``unknown_node``, ``ambiguous_node``,
``unknown_field``, ``missing_field``, ``unknown_operator``, ``unknown_feature``, ``not_applicable``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from whisperer.errors import RequestError


class Problem(TypedDict):
    pointer: str
    code: str
    message: str


class PredicateError(RequestError):
    """Refuse a predicate; ``errors`` has one entry per problem and goes into problem+json unchanged."""

    code = "invalid_predicate"

    def __init__(self, errors: Sequence[Problem]) -> None:
        self.errors = list(errors)
        places = "; ".join(f"{e['pointer'] or 'predicate'}: {e['message']}" for e in self.errors[:3])
        more = f" (and {len(self.errors) - 3} more)" if len(self.errors) > 3 else ""
        super().__init__(f"The predicate cannot be used: {places}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)
