"""Take the texts of a template out for translators, and put what they wrote back in.

One document per language, as JSON:

    {"template": "tips-email", "source": "en", "target": "de",
     "texts": {"subject": {"source": "Hello {{ user.name }}", "target": "Hallo {{ user.name }}"}}}

An empty target is one that is missing. A language may need other words around a value than the source, and so another
``if`` or other filters, but never a value that the source does not use. Leaves publishing, and whether the Liquid is
right, to others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from whisperer.content.blocks import BLOCK, STANDS_FOR
from whisperer.content.errors import TemplateError
from whisperer.content.template import DEFAULT_LOCALE
from whisperer.errors import Problem
from whisperer.events.place import canonical_locale
from whisperer.vocabulary.channels import CHANNELS, Channel

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_VARIABLE = re.compile(r"\b(?:user|features|event|offer|brand)(?:\.[\w-]+)+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def exported(name: str, body: Mapping[str, Any], locale: str) -> dict[str, Any]:
    """Return the document for translators into one language of a template that parses.

    Raises TemplateError if ``locale`` is no language tag, or the template's own language.
    """
    source, held = _default(body), _by_tag(body)
    target = _target(locale, source)
    texts = {
        part: {"source": text, "target": held.get(target, {}).get(part, "")}
        for part, text in held[source].items()
        if _is_for_people(body, part)
    }
    return {"template": name, "source": source, "target": target, "texts": texts}


def missing(body: Mapping[str, Any], locale: str) -> list[str]:
    """Return the parts of a template that a language lacks, in the order of the channel's parts."""
    held = _by_tag(body)
    there = held.get(canonical_locale(locale) or locale, {})
    return [
        part
        for part in _shape(body).part_names
        if part in held[_default(body)] and part not in there and _is_for_people(body, part)
    ]


def imported(body: Mapping[str, Any], document: object) -> dict[str, Any]:
    """Return a template with what a translator wrote; empty targets are left out.

    Raises TemplateError with every problem: a text whose source has changed since, a variable that the
    source does not use, a part or a language that there is not.
    """
    problems: list[Problem] = []
    texts = document.get("texts") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(texts, dict):
        raise TemplateError([_problem("", "invalid_type", "this is no document of translations")])
    source, held = _default(body), _by_tag(body)
    target = _target(document.get("target"), source)
    parts = dict(held.get(target, {}))
    for part, pair in texts.items():
        at = f"/texts/{str(part)[:60]}"
        if part not in held[source]:
            problems.append(_problem(at, "unknown_part", f"the template has no {str(part)[:60]!r} in {source}"))
        elif not isinstance(pair, dict) or not isinstance(pair.get("target", ""), str):
            problems.append(_problem(at, "invalid_type", 'write {"source": "…", "target": "…"}'))
        elif pair.get("source", held[source][part]) != held[source][part]:
            problems.append(_problem(at, "stale_source", f"the {part} has changed since: export it again"))
        elif pair.get("target"):
            for name in _foreign(held[source][part], pair["target"]):
                problems.append(_problem(at, "foreign_variable", f"{name[:60]} is not in the {part} in {source}"))
            parts[part] = pair["target"]
    if problems:
        raise TemplateError(problems)
    kept = {key: value for key, value in body["locales"].items() if canonical_locale(key) != target}
    return {**body, "locales": {**kept, target: parts} if parts else kept}


def _is_for_people(body: Mapping[str, Any], part: str) -> bool:
    """Return whether a part is one that a translator reads: not a push message's image, or how long it waits."""
    described = _shape(body).part(part)
    return described is None or not described.form


def _shape(body: Mapping[str, Any]) -> Channel:
    return CHANNELS[STANDS_FOR if body["channel"] == BLOCK else body["channel"]]


def _foreign(source: str, target: str) -> list[str]:
    """Return the variables of a translation that its source does not use."""
    before, after = (
        [name for piece in _LIQUID.findall(text) for name in _VARIABLE.findall(_QUOTED.sub("", piece))]
        for text in (source, target)
    )
    return [name for name in dict.fromkeys(after) if name not in before]


def _by_tag(body: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {canonical_locale(key) or key: parts for key, parts in body["locales"].items()}


def _default(body: Mapping[str, Any]) -> str:
    return canonical_locale(body.get("default_locale", DEFAULT_LOCALE)) or DEFAULT_LOCALE


def _target(locale: object, source: str) -> str:
    target = canonical_locale(locale) if isinstance(locale, str) else None
    if target is None or target == source:
        message = (
            "write the language to translate into, as a tag such as de" if target is None else "this is the source"
        )
        raise TemplateError([_problem("/target", "unknown_locale", message)])
    return target


def _problem(pointer: str, code: str, message: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message)
