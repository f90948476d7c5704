"""Hold what the product itself says to readers, in sixteen languages: the footer, the page that unsubscribes.

The texts are ``reader_texts.json``. A reader gets the language of their tag or of what it is shortened to, else any
form of their language (Portuguese of Portugal: that of Brazil), else English.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files

from whisperer.content.locales import language, lookup
from whisperer.events.place import canonical_locale

LOCALES = (*("en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ru", "tr", "ar", "he", "ja", "zh-Hans", "ko", "hi"),)
ENGLISH = "en"


@functools.cache
def reader_texts() -> Mapping[str, Mapping[str, str]]:
    """Return the texts by locale and name."""
    found: dict[str, dict[str, str]] = json.loads(
        files(__package__).joinpath("reader_texts.json").read_text(encoding="utf-8")
    )
    return found


def readers_locale(tags: Iterable[str]) -> str:
    """Return which of :data:`LOCALES` a reader of these languages gets, the most wanted first.

    >>> readers_locale(["zh-CN"]), readers_locale(["pt-PT", "en"]), readers_locale(["sv", "iw"]), readers_locale(["sv"])
    ('zh-Hans', 'pt-BR', 'he', 'en')
    """
    for tag in tags:
        if found := lookup(tag, LOCALES, ""):
            return found
        tongue = language(canonical_locale(tag) or "")
        if found := next((one for one in LOCALES if tongue and language(one) == tongue), ""):
            return found
    return ENGLISH
