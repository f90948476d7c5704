"""Count the segments that an SMS is billed as, and say which characters make it longer.

Text in the GSM 7-bit alphabet is packed by 160 septets, or 153 of each joined segment; characters of the extension
table take two. One character outside of it and the whole text is UCS-2: 70 units of UTF-16, or 67. An escape pair and a
surrogate pair are never split between segments. Leaves national shift tables to others: hardly any provider uses them.

References
----------
3GPP TS 23.038, 6.2.1 (alphabet and extension table), 6.2.3 (UCS2); TS 23.040, 9.2.3.24.1 (joining).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")

GSM_7_SINGLE, GSM_7_JOINED = 160, 153
UCS_2_SINGLE, UCS_2_JOINED = 70, 67
MAX_SHOWN = 20

LOOKALIKES: dict[str, str] = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u02b9\u0060\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\u2043", "-"),
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e", ""),
    "\u2026": "...",
    "\u2022": "-",
    "\u00ad": "",
    "\u2024": ".",
    "\u2025": "..",
    "\u2039": "<",
    "\u203a": ">",
    "\u2044": "/",
    "\t": " ",
}
"""What word processors write in place of plain characters -> what a reader takes it for."""


@dataclass(frozen=True, slots=True)
class SmsSize:
    """Hold what an SMS is billed as.

    Attributes
    ----------
    units : septets, or UTF-16 units
    forcing : the characters that make it UCS-2, each once in order, at most :data:`MAX_SHOWN`
    """

    encoding: Literal["GSM-7", "UCS-2"]
    segments: int
    units: int
    forcing: tuple[str, ...] = ()


def sms_size(text: str) -> SmsSize:
    """Return the encoding, segments and units of a text.

    >>> sms_size("Hello"), sms_size("€" * 80).segments, sms_size("Grüße 👋").encoding
    (SmsSize(encoding='GSM-7', segments=1, units=5, forcing=()), 1, 'UCS-2')
    """
    forcing = tuple(dict.fromkeys(char for char in text if char not in BASIC and char not in EXTENDED))
    if forcing:
        sizes = [2 if char > "\uffff" else 1 for char in text]
        segments = _packed(sizes, UCS_2_SINGLE, UCS_2_JOINED)
        return SmsSize("UCS-2", segments, sum(sizes), forcing[:MAX_SHOWN])
    sizes = [2 if char in EXTENDED else 1 for char in text]
    return SmsSize("GSM-7", _packed(sizes, GSM_7_SINGLE, GSM_7_JOINED), sum(sizes))


def smart_encoded(text: str) -> str:
    """Return a text with lookalikes replaced if it then fits GSM-7; else the text as it is, which gains nothing.

    >>> smart_encoded("“It’s here”\\u00a0– now…"), smart_encoded("“Привет”")
    ('"It\\'s here" - now...', '“Привет”')
    """
    plain = "".join(LOOKALIKES.get(char, char) if char not in BASIC else char for char in text)
    return plain if all(char in BASIC or char in EXTENDED for char in plain) else text


def _packed(sizes: list[int], single: int, joined: int) -> int:
    if not sizes:
        return 0
    if sum(sizes) <= single:
        return 1
    segments, free = 1, joined
    for size in sizes:
        if size > free:
            segments, free = segments + 1, joined
        free -= size
    return segments
