"""Check what is translated: texts that are the default language's in others, and parts that some languages lack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from whisperer.content import limits
from whisperer.content.lint.finding import Finding
from whisperer.content.locales import language
from whisperer.content.plain_text import text_of
from whisperer.vocabulary.channels import CHANNELS

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]")
MIN_LETTERS = 12


def translations(channel: str, default: str, locales: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Report languages whose texts are those of the default, or that lack a part that it has."""
    first = locales.get(default, {})
    for locale, parts in locales.items():
        if locale == default:
            continue
        for part in CHANNELS[channel].parts:
            if part.syntax == "json" or part.form or part.name not in first:
                continue
            if part.name not in parts:
                if not part.made_from:
                    message = f"{default} has a {part.name}, {locale} has none"
                    yield Finding(
                        severity="warning", code="part_missing", message=message, locale=locale, part=part.name
                    )
                continue
            same = _words(parts[part.name], part.syntax) == _words(first[part.name], part.syntax)
            if same and language(locale) != language(default):
                message = f"the {part.name} is that of {default}: translate it, or take {locale} out"
                yield Finding(severity="warning", code="untranslated", message=message, locale=locale, part=part.name)


def _words(text: str, syntax: str) -> str | float:
    """Return the words of a text without Liquid; a value that equals nothing if there are hardly any."""
    plain = _LIQUID.sub(" ", text)
    if syntax == "html" and plain.count("<") > limits.MAX_HTML_TAGS:
        return float("nan")
    read = " ".join((text_of(plain) if syntax == "html" else plain).split())
    return read if len(_LETTERS.findall(read)) >= MIN_LETTERS else float("nan")
