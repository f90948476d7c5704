"""Find a template's slots, ``{{ generated.lead | default: "…" }}``, and how much each may hold."""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content.template import Template
from whisperer.vocabulary.channels import CHANNELS

VARIABLE = "generated"
MAX_SLOTS = 8
LINE_CHARS = 90
"""Of a slot in a subject or title; more is cut off by mail programs."""
SMS_CHARS = 140


def slots(template: Template, locale: str, max_chars: int) -> dict[str, int]:
    """Return slot -> the most characters it may have, of one language, in the order of their names."""
    channel = CHANNELS[template.channel]
    found: dict[str, int] = {}
    for part, name in _used(template, locale):
        described = channel.part(part)
        is_line = described is not None and described.syntax == "line" and template.channel != "sms"
        most = min(max_chars, LINE_CHARS if is_line else SMS_CHARS if template.channel == "sms" else max_chars)
        found[name] = min(most, found.get(name, most))
    return {name: found[name] for name in sorted(found)[:MAX_SLOTS]}


def _used(template: Template, locale: str) -> Iterator[tuple[str, str]]:
    for part, compiled in template.locales[locale].items():
        used = compiled.template.analyze(include_partials=False)
        for variable in used.globals.get(VARIABLE, ()):
            path = [str(step) for step in variable.segments]
            if len(path) == 2:
                yield part, path[1]
