"""Time zones and locales: which names are known.

A zone is known if the IANA database of this machine (or the tzdata package) has it. A locale is known if it is a
well-formed BCP 47 tag, with ``_`` taken for ``-`` as mobile systems write it, whose language is a three-letter code or
one of ISO 639-1's two-letter ones; scripts and regions are checked in form only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zoneinfo import available_timezones

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
_TAG = re.compile(
    r"([A-Za-z]{2,3})(?:-[A-Za-z]{3}){0,3}"  # language and its extensions
    r"(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"  # script, region
    r"(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"  # variants
    r"(?:-[A-WY-Za-wy-z0-9](?:-[A-Za-z0-9]{2,8})+)*(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?"  # extensions, private use
)


def canonical_locale(locale: str) -> str | None:
    """The tag with hyphens and in RFC 5646's casing (``de-AT``, ``zh-Hans-CN``); None if it is not known."""
    tag = locale.replace("_", "-")
    if len(tag) > _MAX_LOCALE_CHARS or not (match := _TAG.fullmatch(tag)):
        return None
    language = match[1].lower()
    if len(language) == 2 and language not in _ISO_639_1:
        return None
    cased = [language]
    for part in tag.split("-")[1:]:
        if len(cased[-1]) == 1:  # after a singleton nothing is a script or a region
            cased.append(part.lower())
        elif len(part) == 2:
            cased.append(part.upper())
        else:
            cased.append(part.title() if len(part) == 4 and part.isalpha() else part.lower())
    return "-".join(cased)


@lru_cache(maxsize=4_096)
def known_place(timezone: str | None, locale: str | None) -> tuple[str, str, tuple[Notice, ...]]:
    """(zone, canonical locale, what is odd about them); "" for what is absent, empty or not known."""
    odd = []
    zone = timezone or ""
    if zone and zone not in KNOWN_ZONES:
        odd.append(Notice.UNKNOWN_TIME_ZONE)
        zone = ""
    tag = canonical_locale(locale) if locale else ""
    if tag is None:
        odd.append(Notice.UNKNOWN_LOCALE)
    return zone, tag or "", tuple(odd)
