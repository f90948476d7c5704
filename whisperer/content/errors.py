"""Report everything that is wrong with a template at once.

One :class:`TemplateError` carries every problem found, at most ``limits.MAX_PROBLEMS``; the place ``""`` is the whole
template.

Codes: ``invalid_type``, ``invalid_text``, ``not_finite``, ``empty``, ``too_long``, ``too_many``, ``unknown_field``,
``missing_field``, ``unknown_channel``, ``unknown_policy``, ``unknown_part``, ``unknown_locale``, ``repeated_locale``,
``syntax_error``, ``unknown_tag``, ``unknown_filter``, ``unknown_variable``. MJML has codes of its own
(:mod:`whisperer.content.mjml.check`), which begin with `mjml_` here.
"""

from __future__ import annotations

from whisperer.errors import ProblemsError


class TemplateError(ProblemsError):
    """Say that a template cannot be used."""

    code = "invalid_template"
    subject = "template"
    status = 422
