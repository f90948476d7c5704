"""Report everything that is wrong with a predicate at once.

One :class:`PredicateError` carries every problem found, at most ``limits.MAX_PROBLEMS``; the place ``""`` is the whole
predicate.

Codes: ``malformed_json``, ``invalid_type``, ``invalid_text``, ``invalid_path``, ``invalid_date``, ``not_finite``,
``out_of_range``, ``empty``, ``too_long``, ``too_many``, ``too_deep``, ``unknown_node``, ``ambiguous_node``,
``unknown_field``, ``missing_field``, ``unknown_operator``, ``unknown_feature``, ``not_applicable``.
"""

from __future__ import annotations

from whisperer.errors import ProblemsError


class PredicateError(ProblemsError):
    """Say that a predicate cannot be used."""

    code = "invalid_predicate"
    subject = "predicate"
