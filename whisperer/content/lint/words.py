"""Check for what filters hold against a message: words of spam, shouting, a crowd of exclamation marks.

The words are ``spam_words.json``, by language. One of them is no fault; readers and filters look at the whole.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib.resources import files

from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject
from whisperer.content.locales import language
from whisperer.content.plain_text import text_of

_SPACELESS = frozenset({"ja", "zh", "th"})
_MOST_SHOWN = 8
_SHOUTED = re.compile(r"\b[A-Z]{4,}\b")
MIN_SHOUTED_WORDS = 3


@functools.cache
def spam_words() -> dict[str, list[str]]:
    """Return the words by language, in lower case."""
    found: dict[str, list[str]] = json.loads(files(__package__).joinpath("spam_words.json").read_text(encoding="utf-8"))
    return found


@functools.cache
def _pattern(tongue: str) -> re.Pattern[str] | None:
    words = spam_words().get(tongue)
    if not words:
        return None
    one_of = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(one_of if tongue in _SPACELESS else rf"(?<!\w)(?:{one_of})(?!\w)", re.IGNORECASE)


def spam(subject: Subject) -> Iterator[Finding]:
    """Report words that filters hold against a message, in its subject or title first of all."""
    pattern = _pattern(language(subject.locale))
    for part in subject.channel.parts:
        text = subject.parts.get(part.name)
        if text is None or part.syntax == "json" or (part.syntax == "html" and subject.html is None):
            continue
        read = text_of(text) if part.syntax == "html" else text
        found = list(dict.fromkeys(match.lower() for match in pattern.findall(read))) if pattern is not None else []
        if found:
            shown = ", ".join(found[:_MOST_SHOWN])
            is_first = part.name in ("subject", "title")
            message = f"filters hold this against a message: {shown}"
            yield subject.finding("warning" if is_first else "info", "spam_words", message, part.name)
        if part.name in ("subject", "title"):
            if len(_SHOUTED.findall(read)) >= MIN_SHOUTED_WORDS:
                yield subject.finding("warning", "shouting", "words in capitals are read as shouting", part.name)
            if read.count("!") > 1:
                yield subject.finding("warning", "shouting", "one exclamation mark is enough", part.name)
