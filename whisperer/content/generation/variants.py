"""Have a template's words written anew: its texts out, with Liquid and markup replaced by placeholders; a draft in.

A model sees what people read, never Liquid, HTML or MJML: it rewrites texts, and the frame around them stays as it is.
What it may not change, it cannot: a value's Liquid stands as a placeholder, and each has to come back as often as it
was there. Leaves storing the draft, and whether it may go live, to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whisperer.content.generation.private import Private
from whisperer.content.template import DEFAULT_LOCALE
from whisperer.events.place import canonical_locale
from whisperer.vocabulary.channels import CHANNELS

MAX_TEXTS = 40
MAX_TEXT_CHARS = 2_000
GROWTH = 1.5
"""A rewritten text may be this much longer than the one it replaces, at least ROOM characters."""
ROOM = 40

_LIQUID = r"\{\{.*?\}\}|\{%.*?%\}"
_INLINE_NAMES = "a|b|strong|em|i|u|span|br"
_TAG = re.compile(
    r"<!--.*?-->|<(?:style|script|title|mj-style|mj-attributes|mj-head)\b.*?</\w[\w-]*\s*>"
    rf"|<(?:{_LIQUID}|[^>])*>",
    re.DOTALL | re.IGNORECASE,
)
_INLINE = re.compile(rf"</?(?:{_INLINE_NAMES})\b(?:{_LIQUID}|[^>])*>", re.DOTALL | re.IGNORECASE)
_HIDDEN = re.compile(
    rf"</?(?:{_INLINE_NAMES})\b(?:{_LIQUID}|[^>])*>|[a-z][a-z0-9+.-]*://(?:{_LIQUID}|[^\s<>])*|{_LIQUID}",
    re.DOTALL | re.IGNORECASE,
)
"""What a model does not see of a text, each whole: tags inside a sentence, addresses, Liquid."""
_FOOTER = re.compile(r"unsubscribe_url|brand\.address")


@dataclass(frozen=True, slots=True)
class Text:
    """Hold one text: where it stands in its part, and the text with placeholders."""

    part: str
    start: int
    end: int
    shown: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Hold the texts of one language of a template, by the names that a model knows them under."""

    locale: str
    texts: Mapping[str, Text]
    private: Private

    @property
    def shown(self) -> dict[str, str]:
        """Return name -> text with placeholders."""
        return {name: text.shown for name, text in self.texts.items()}

    @property
    def limits(self) -> dict[str, int]:
        """Return name -> the most characters that its new text may have."""
        return {name: round(max(len(t.shown) * GROWTH, len(t.shown) + ROOM)) for name, t in self.texts.items()}


def texts_of(body: Mapping[str, Any], locale: str | None = None) -> Texts | None:
    """Return the texts of a template that parses, in one language, its default if none is named.

    None if the template has nothing in that language.
    """
    wanted = canonical_locale(locale or body.get("default_locale", DEFAULT_LOCALE))
    parts = next((parts for key, parts in body["locales"].items() if canonical_locale(key) == wanted), None)
    if wanted is None or parts is None:
        return None
    private = Private()
    found: dict[str, Text] = {}
    for described in CHANNELS[body["channel"]].parts:
        if described.name not in parts or described.syntax == "json":
            continue
        source = parts[described.name]
        if described.syntax == "line":
            spans = [(0, len(source))]
        else:
            spans = [*_html(source)] if described.syntax == "html" else [*_lines(source)]
        for start, end in spans:
            text = source[start:end]
            if len(found) < MAX_TEXTS and _is_prose(text):
                found[f"{described.name}_{len(found) + 1}"] = Text(described.name, start, end, _hidden(text, private))
    return Texts(wanted, found, private)


def rewritten(body: Mapping[str, Any], texts: Texts, answer: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with a model's texts in the places of the old ones."""
    parts = next(parts for key, parts in body["locales"].items() if canonical_locale(key) == texts.locale)
    written = dict(parts)
    for name, text in sorted(texts.texts.items(), key=lambda item: -item[1].start):
        source = written[text.part]
        new = _escaped(answer[name]) if _is_html(body["channel"], text.part) else answer[name]
        written[text.part] = source[: text.start] + texts.private.restored(new) + source[text.end :]
    locales = {key: written if canonical_locale(key) == texts.locale else kept for key, kept in body["locales"].items()}
    return {**body, "locales": locales}


def lost(texts: Texts, answer: Mapping[str, str]) -> list[str]:
    """Return the placeholders that an answer does not bring back as often as they were given, by the text's name."""
    found = []
    for name, text in texts.texts.items():
        if sorted(_names(text.shown)) != sorted(_names(answer[name])):
            found.append(name)
    return found


def _hidden(text: str, private: Private) -> str:
    def hide(found: re.Match[str]) -> str:
        name = f"value_{len(private.values) + 1}"
        private.values[name] = found[0]
        return f"[[{name}]]"

    return private.hidden(_HIDDEN.sub(hide, text))


def _names(text: str) -> list[str]:
    return re.findall(r"\[\[([^\[\]]+)\]\]", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_html(channel: str, part: str) -> bool:
    described = CHANNELS[channel].part(part)
    return described is not None and described.syntax == "html"


def _html(source: str) -> Iterator[tuple[int, int]]:
    """Yield the places of a document's texts; tags inside a sentence are part of it."""
    at = 0
    for found in [*_TAG.finditer(source), None]:
        if found is not None and _INLINE.fullmatch(found[0]):
            continue
        end = len(source) if found is None else found.start()
        text = source[at:end]
        start = at + len(text) - len(text.lstrip())
        if text.strip() and not _FOOTER.search(text):
            yield start, at + len(text.rstrip())
        at = end if found is None else found.end()


def _lines(source: str) -> Iterator[tuple[int, int]]:
    at = 0
    for line in source.splitlines(keepends=True):
        text = line.strip()
        if text and not _FOOTER.search(line):
            start = at + line.index(text)
            yield start, start + len(text)
        at += len(line)


def _is_prose(text: str) -> bool:
    """Return whether there is something to rewrite: letters outside Liquid, tags and addresses."""
    read = _HIDDEN.sub(" ", text)
    return sum(char.isalpha() for char in read) >= 3 and len(text) <= MAX_TEXT_CHARS
