"""List the checks, and run them over a template or a rendered message.

At most :data:`MAX_FINDINGS` are returned, errors first. Its cost is bounded by the sizes of a template
(:mod:`whisperer.content.limits`); tests hold hostile documents against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from whisperer.content.errors import TemplateError
from whisperer.content.flaws import Flaw
from whisperer.content.lint import contrast, images, law, links, preheader, push, size, words
from whisperer.content.lint.finding import SEVERITIES, Finding
from whisperer.content.lint.slots import slots
from whisperer.content.lint.subject import Subject, of_message, of_template
from whisperer.content.lint.supplies import Known, supplies
from whisperer.content.lint.translations import translations
from whisperer.content.lint.variables import variables
from whisperer.content.template import DEFAULT_LOCALE, Template, parse_template
from whisperer.errors import Problem
from whisperer.events.place import canonical_locale

Check = Callable[[Subject], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    links.links,
    links.active_content,
    images.images,
    contrast.low_contrast,
    size.clipped,
    size.too_many_tags,
    size.styles_not_inlined,
    size.subject_line,
    size.segments,
    push.settings,
    push.payload,
    preheader.preheader,
    law.unsubscribe_link,
    law.postal_address,
    words.spam,
)
"""What is looked at in each message, in the order in which findings of one severity are shown."""
REFUSING: tuple[Check, ...] = (links.links, size.too_many_tags, push.settings, push.payload)
"""Those that may find an error. Besides them only MJML, :func:`variables`, :func:`supplies` and :func:`slots` do."""

MAX_FINDINGS = 200
MOST_OF_ONE = 40
"""Findings of one check in one message."""


def lint_template(body: object, brand: Mapping[str, str] | None = None, known: Known | None = None) -> list[Finding]:
    """Return what is found in a template, as its author wrote it; what makes it unusable is an error among the rest.

    ``known``: what the tenant has of what it may name; None where that cannot be said.
    """
    try:
        template = parse_template(body)
    except TemplateError as error:
        return unusable(body, error.errors)
    assert isinstance(body, dict), "the parser takes objects only"
    return _ordered([*variables(template), *_of_supplies(template, known), *_of_body(body, brand)])


def unusable(body: object, problems: Iterable[Problem]) -> list[Finding]:
    """Return what makes a template unusable as findings."""
    return _ordered([*_unusable(body, problems)])


def lint_message(channel: str, locale: str, parts: Mapping[str, str], brand: Mapping[str, str]) -> list[Finding]:
    """Return what is found in a rendered message."""
    subject = of_message(channel, locale, parts, brand)
    return _ordered([*_checked(subject, CHECKS)])


def errors_of(body: dict[str, Any], template: Template | None = None, known: Known | None = None) -> list[Finding]:
    """Return the errors alone of a template that parses; ``template`` is what was parsed, if the caller has it."""
    of_template = () if template is None else (*variables(template), *_of_supplies(template, known))
    found = [*of_template, *_of_body(body, None, REFUSING)]
    return [finding for finding in _ordered(found) if finding.severity == "error"]


def without_address(body: dict[str, Any], brand: Mapping[str, str]) -> list[Finding]:
    """Return the missing postal addresses of a template that parses as errors, for who has to show one."""
    found = _of_body(body, brand, (law.postal_address,))
    wanted = [finding for finding in found if finding.code == law.ADDRESS_MISSING]
    return [msgspec.structs.replace(finding, severity="error") for finding in wanted]


def refuse_errors(body: dict[str, Any], template: Template | None = None, known: Known | None = None) -> None:
    """Raise TemplateError with every error-level finding of a template that parses."""
    if found := errors_of(body, template, known):
        raise TemplateError([as_problem(finding) for finding in found])


def as_problem(finding: Finding) -> Problem:
    """Return a finding as an entry of a refusal."""
    where = f"line {finding.line}, column {finding.column}: " if finding.line is not None else ""
    pointer = f"/locales/{finding.locale}/{finding.part}" if finding.locale and finding.part else ""
    return Problem(pointer=pointer, code=finding.code, message=where + finding.message)


def _of_supplies(template: Template, known: Known | None) -> Iterator[Finding]:
    if known is not None:
        yield from islice(supplies(template, known), MOST_OF_ONE)


def _checked(subject: Subject, checks: tuple[Check, ...]) -> Iterator[Finding]:
    for check in checks:
        yield from islice(check(subject), MOST_OF_ONE)


def _of_body(
    body: dict[str, Any], brand: Mapping[str, str] | None, checks: tuple[Check, ...] = CHECKS
) -> Iterator[Finding]:
    channel = body["channel"]
    locales = {canonical_locale(key) or key: parts for key, parts in body["locales"].items()}
    for locale, parts in locales.items():
        subject, made = of_template(channel, locale, parts, brand)
        for flaw in made.flaws if made is not None else ():
            yield _of_flaw(flaw, locale)
        yield from _checked(subject, checks)
        yield from slots(locale, parts)
    default = canonical_locale(body.get("default_locale", DEFAULT_LOCALE)) or DEFAULT_LOCALE
    yield from translations(channel, default, locales)


def _unusable(body: object, problems: Iterable[Problem]) -> Iterator[Finding]:
    """Yield the problems of a template that does not parse; those of MJML with their places."""
    for problem in problems:
        steps = problem["pointer"].split("/")
        locale, part = (steps[2], steps[3]) if len(steps) == 4 and steps[1] == "locales" else (None, None)
        if problem["code"].startswith("mjml_") and isinstance(body, dict) and locale is not None:
            continue
        yield Finding(severity="error", code=problem["code"], message=problem["message"], locale=locale, part=part)
    of_mjml = {problem["pointer"] for problem in problems if problem["code"].startswith("mjml_")}
    for pointer in sorted(of_mjml):
        _, _, locale, part = pointer.split("/")
        assert isinstance(body, dict)
        written = body["locales"][locale][part]
        _, made = of_template(body["channel"], locale, {part: written})
        for flaw in made.flaws if made is not None else ():
            yield _of_flaw(flaw, locale)


def _of_flaw(flaw: Flaw, locale: str) -> Finding:
    return Finding(
        severity="error",
        code=f"mjml_{flaw.code}",
        message=flaw.message,
        locale=locale,
        part="html",
        line=flaw.line,
        column=flaw.column,
    )


def _ordered(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))[:MAX_FINDINGS]
