"""Read colours as CSS writes them, and measure the contrast of two of them.

References
----------
WCAG 2.2, "relative luminance" and "contrast ratio"; success criterion 1.4.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files

COLOURS: Mapping[str, str] = json.loads(files(__package__).joinpath("colours.json").read_text(encoding="utf-8"))
"""Name -> ``#rrggbb``, of CSS Color 4."""

MAX_CHARS = 64
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*(?:[,/]\s*(1|1\.0*)\s*)?\)")

Colour = tuple[int, int, int]


def colour(text: str) -> Colour | None:
    """Return red, green and blue of an opaque colour; None for anything else.

    >>> colour("#fff"), colour("teal"), colour("rgba(0, 0, 0, 0.5)")
    ((255, 255, 255), (0, 128, 128), None)
    """
    text = text.strip().lower()
    if len(text) > MAX_CHARS:
        return None
    text = COLOURS.get(text, text)
    if re.fullmatch(r"#[0-9a-f]{3}", text):
        text = "#" + "".join(digit * 2 for digit in text[1:])
    if re.fullmatch(r"#[0-9a-f]{6}", text):
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    if found := _RGB.fullmatch(text):
        red, green, blue = (min(255, int(found[n])) for n in (1, 2, 3))
        return red, green, blue
    return None


def contrast(one: Colour, other: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21.

    >>> contrast((0, 0, 0), (255, 255, 255))
    21.0
    """
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(of: Colour) -> float:
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (channel / 255 for channel in of)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
