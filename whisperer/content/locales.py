"""Choose which of a template's languages a user gets, and how numbers and dates are written in it.

The lookup is that of RFC 4647, 3.4: the user's tag is shortened from its end (``zh-Hant-TW``, ``zh-Hant``, ``zh``; a
single letter goes together with what follows it) until the template has it, else the template's default is used. A
script that the region implies may be written or left out: a reader of ``zh-TW`` gets ``zh-Hant`` before ``zh``. Tags
are compared in their canonical form (:func:`whisperer.events.place.canonical_locale`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from whisperer.events.place import canonical_locale

RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
"""Languages written from right to left, unless the tag names another script."""
_RIGHT_TO_LEFT_SCRIPTS = frozenset({"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"})


def fallbacks(tag: str) -> Iterator[str]:
    """Yield the canonical tag and what it is shortened to, longest first; nothing for an unknown tag.

    >>> list(fallbacks("zh_TW")), list(fallbacks("de-x-formal")), list(fallbacks("klingon"))
    (['zh-TW', 'zh-Hant-TW', 'zh-Hant', 'zh'], ['de-x-formal', 'de'], [])
    """
    parts = (canonical_locale(tag) or "").split("-")
    while parts and parts[0]:
        yield "-".join(parts)
        yield from _other_spellings(parts)
        parts.pop()
        while len(parts) > 1 and len(parts[-1]) == 1:
            parts.pop()


def _other_spellings(parts: list[str]) -> Iterator[str]:
    """Yield equivalent tags, with the script that the region implies written out or left out."""
    likely: Mapping[str, str] = get_global("likely_subtags")
    if len(parts) == 2 and len(parts[1]) < 4:
        language, script, _ = likely.get("_".join(parts), "__").split("_")
        if script and script != likely.get(language, "__").split("_")[1]:
            yield f"{language}-{script}-{parts[1]}"
            yield f"{language}-{script}"
    elif (
        len(parts) == 3
        and len(parts[1]) == 4
        and likely.get(f"{parts[0]}_{parts[2]}", "").startswith(f"{parts[0]}_{parts[1]}_")
    ):
        yield f"{parts[0]}-{parts[2]}"


def lookup(tag: str, available: Collection[str], default: str) -> str:
    """Return the locale of ``available`` (canonical tags) that a reader of ``tag`` gets, else ``default``."""
    return next((one for one in fallbacks(tag) if one in available), default)


def language(tag: str) -> str:
    """Return the language subtag in lower case, such as ``de`` of ``de-AT``."""
    return tag.partition("-")[0].lower()


def direction(tag: str) -> str:
    """Return ``rtl`` or ``ltr``, for the ``dir`` of a message."""
    scripts = [part.title() for part in tag.split("-")[1:3] if len(part) == 4 and part.isalpha()]
    if scripts:
        return "rtl" if scripts[0] in _RIGHT_TO_LEFT_SCRIPTS else "ltr"
    return "rtl" if language(tag) in RIGHT_TO_LEFT else "ltr"


def formatting_locale(user: str, message: str) -> Locale:
    """Return the conventions for numbers and dates in a message.

    They are the user's if the message is in the user's language (``en-GB`` for a message in ``en``), else the
    message's, so that one sentence is not in two languages.
    """
    return conventions(user if language(user) == language(message) else message)


@lru_cache(maxsize=1_024)
def conventions(tag: str) -> Locale:
    """Return CLDR's locale for the tag or the longest of its fallbacks that it knows; English if it knows none."""
    for one in fallbacks(tag):
        try:
            return Locale.parse(one.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")
