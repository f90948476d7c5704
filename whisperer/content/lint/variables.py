"""Check the variables that a template uses, by its own analysis of them."""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content.brand import FIELDS
from whisperer.content.lint.finding import Finding
from whisperer.content.template import REFUSE, Template

_MOST_SHOWN = 12


def variables(template: Template) -> Iterator[Finding]:
    """Report values of the brand that there are not, and traits whose absence stops a message."""
    unknown: dict[str, tuple[str, str]] = {}
    bare: dict[str, str] = {}
    for locale, parts in template.locales.items():
        for part, compiled in parts.items():
            used = compiled.template.analyze(include_partials=False)
            for name, places in used.globals.items():
                for variable in places:
                    path = [str(step) for step in variable.segments]
                    if len(path) > 1 and name == "brand" and path[1] not in FIELDS:
                        unknown.setdefault(path[1], (locale, part))
                    if len(path) > 1 and name == "user" and path[1] not in template.defaults and path[1] != "id":
                        bare.setdefault(path[1], locale)
    for name, (locale, part) in unknown.items():
        message = f"there is no brand.{name[:60]}; a brand has {', '.join(FIELDS)}"
        yield Finding(severity="error", code="unknown_variable", message=message, locale=locale, part=part)
    if bare and template.missing == REFUSE:
        shown = ", ".join(f"user.{name[:60]}" for name in [*bare][:_MOST_SHOWN])
        message = f"who lacks one of these gets nothing unless the text tests it or gives a default: {shown}"
        yield Finding(severity="info", code="no_default", message=message)
