"""Decide which time zones and locales are known, and give locales one spelling.

A zone is known if the IANA database of this machine (or the tzdata package) has it. A locale is known if it is a
well-formed BCP 47 tag whose language is a three-letter code or one of ISO 639-1's two-letter ones; scripts and regions
are only checked for form. The spellings of mobile systems and servers are read as tags too: Java's and Android's
(``zh_CN_#Hans``, ``sr__#Latn``, ``en-rUS``, ``b+sr+Latn``), Apple's (``en_US@calendar=japanese``), POSIX's
(``de_DE.UTF-8@euro``; ``C`` and ``POSIX`` name no language). Retired codes become their replacements by CLDR's
aliases: ``iw`` is ``he``, ``UK`` is ``GB``.

References
----------
RFC 5646, 4.5 (canonical form); UTS 35, part 1, annex C (aliases of CLDR).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from babel.core import get_global

from whisperer.events.outcome import Notice

KNOWN_ZONES: frozenset[str] = frozenset(available_timezones())

_TWO_LETTER_LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw "
    "ja ji jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my "
    "na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn "
    "so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_ISO_639_1 = frozenset(_TWO_LETTER_LANGUAGES.split())
_MAX_LOCALE_CHARS = 35  # what RFC 5646, section 4.4.1, asks software to hold
_MAX_WRITTEN_CHARS = 100
_TAG = re.compile(
    r"(?P<language>[A-Za-z]{2,3})(?P<extended>(?:-[A-Za-z]{3}){0,3})"
    r"(?:-(?P<script>[A-Za-z]{4}))?(?:-(?P<region>[A-Za-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*)"
    r"(?P<rest>(?:-[A-WY-Za-wy-z0-9](?:-[A-Za-z0-9]{2,8})+)*(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?)"  # private use comes last
)
_POSIX = re.compile(r"([^.@]*)(?:\.[^@]*)?(?:@(.*))?")
_MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl", "arabic": "Arab", "devanagari": "Deva", "valencia": "valencia"}
_JAVA = re.compile(r"([A-Za-z]{2,3})(?:_([A-Za-z]{2}|[0-9]{3})?)?(?:_([A-Za-z0-9_]*))?_?#([A-Za-z]{4})?(?:_?(.*))?")
_ANDROID_REGION = re.compile(r"([A-Za-z]{2,3})-r([A-Z]{2})")
_OF_NORWAY = {"no": "nb"}
"""No longer a CLDR alias: there, Bokmål falls back to Norwegian. Here templates and users share one name for both."""


def canonical_locale(locale: str) -> str | None:
    """Return the tag in canonical form (``de-AT``, ``zh-Hans-CN``, ``he``); None if it is not known.

    >>> [canonical_locale(one) for one in ("iw_IL", "zh_CN_#Hans", "en-rUS", "de_DE.UTF-8@euro", "C")]
    ['he-IL', 'zh-Hans-CN', 'en-US', 'de-DE', None]
    """
    if len(locale) > _MAX_WRITTEN_CHARS:
        return None
    tag = _as_tag(locale)
    replaced = _aliases("language").get(tag.replace("-", "_").lower())  # zh-min-nan, no-nyn
    match = _TAG.fullmatch(replaced.replace("_", "-") if isinstance(replaced, str) else tag)
    if not match:
        return None
    language = (match["extended"].rpartition("-")[2] or match["language"]).lower()
    if len(language) == 2 and language not in _ISO_639_1:
        return None
    named = _aliases("language").get(language, language).split("_")  # sh is sr_Latn, prs is fa_AF
    language = _OF_NORWAY.get(named[0], named[0])
    script = (match["script"] or next((part for part in named[1:] if len(part) == 4), "")).title()
    region = _region(language, script, match["region"] or next((part for part in named[1:] if len(part) < 4), ""))
    rest = (match["variants"] + match["rest"]).lower().strip("-")
    found = "-".join(part for part in (language, script, region, rest) if part)
    return found if len(found) <= _MAX_LOCALE_CHARS else None


def _as_tag(written: str) -> str:
    """Rewrite any system's spelling with hyphens and in the order of BCP 47, without checking it."""
    if written.startswith("b+"):
        return written[2:].replace("+", "-")
    if "#" in written and (java := _JAVA.fullmatch(written)):
        language, region, variant, script, extension = java.groups()
        variants = [one for one in (variant or "").split("_") if len(one) > 2]  # th_TH_TH, ja_JP_JP repeat the region
        parts = [language, script, region, *variants, (extension or "").replace("_", "-")]
        return "-".join(part for part in parts if part)
    posix = _POSIX.fullmatch(written)
    name, modifier = (posix[1], _MODIFIERS.get(posix[2] or "")) if posix else (written, None)
    if android := _ANDROID_REGION.fullmatch(name):
        name = f"{android[1]}-{android[2]}"
    if name == "no_NO_NY":  # Java's spelling of Nynorsk, which has long had its own code
        return "nn-NO"
    tag = re.sub(r"_+", "-", name)
    if modifier is None:
        return tag
    language, _, more = tag.partition("-")
    ordered = (language, modifier, more) if len(modifier) == 4 else (tag, modifier)
    return "-".join(part for part in ordered if part)


def _region(language: str, script: str, region: str) -> str:
    """Return what replaced a region that no longer exists; of several, the one where the language is likely spoken."""
    successors: list[str] = _aliases("territory").get(region.upper(), [])
    if not successors:
        return region.upper()
    likely: Mapping[str, str] = get_global("likely_subtags")
    whole = likely.get(f"{language}_{script}" if script else language) or likely.get(language) or ""
    return next((one for one in successors if one == whole.rpartition("_")[2]), successors[0])


def _aliases(of: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = get_global(f"{of}_aliases")  # type: ignore[arg-type]
    return found


@lru_cache(maxsize=4_096)
def known_place(timezone: str | None, locale: str | None) -> tuple[str, str, tuple[Notice, ...]]:
    """Return (zone, canonical locale, notices); a zone or locale that is absent, empty or not known is ""."""
    odd = []
    zone = timezone or ""
    if zone and zone not in KNOWN_ZONES:
        odd.append(Notice.UNKNOWN_TIME_ZONE)
        zone = ""
    tag = canonical_locale(locale) if locale else ""
    if tag is None:
        odd.append(Notice.UNKNOWN_LOCALE)
    return zone, tag or "", tuple(odd)
