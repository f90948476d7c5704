"""Check whether text can be told from its background, where both colours are written inline.

References
----------
WCAG 2.2, 1.4.3 (AA): 4.5 to 1, and 3 to 1 for text of 24 px, or of 18.66 px in bold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from whisperer.content.colours import Colour, colour, contrast
from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Element, Subject

NEEDED, NEEDED_LARGE = 4.5, 3.0
MOST = 20
_PX = re.compile(r"(\d+(?:\.\d+)?)px")
_BACKGROUND_COLOUR = re.compile(r"(#[0-9a-fA-F]{3,8}|rgba?\([^)]*\)|[a-zA-Z]+)")

_Seen = tuple[Colour | None, Colour | None, bool, float, bool]
"""Text colour, background (None: not known), whether either was written, size in px, whether it is bold."""
_START: _Seen = ((0, 0, 0), (255, 255, 255), False, 16.0, False)


def low_contrast(subject: Subject) -> Iterator[Finding]:
    """Report text whose colour is too near to its background."""
    if subject.html is None:
        return
    known: dict[int, _Seen] = {}
    reported: set[tuple[Colour, Colour]] = set()
    for element, text, around, look in subject.html.steps():
        if look.is_gone or not look.is_read:
            continue
        seen = _START
        for one in around:
            if one.number not in known:
                known[one.number] = _within(one, seen)
            seen = known[one.number]
        front, back, is_written, size, is_bold = seen
        if front is None or back is None or not is_written or (front, back) in reported:
            continue
        ratio = contrast(front, back)
        needed = NEEDED_LARGE if size >= 24 or (is_bold and size >= 18.66) else NEEDED
        if ratio < needed and len(reported) < MOST:
            reported.add((front, back))
            message = (
                f"{' '.join(text.split())[:40]!r} has a contrast of {ratio:.1f} to 1 ({_hex(front)} on {_hex(back)}); "
                f"make it {needed:g} to 1"
            )
            yield subject.finding("warning", "low_contrast", message, "html", element)


def _within(element: Element, seen: _Seen) -> _Seen:
    front, back, is_written, size, is_bold = seen
    style = _declared(element.attributes.get("style", ""))
    if element.name == "a" and "color" not in style:
        front = None  # a mail program's own
    if "bgcolor" in element.attributes:
        back, is_written = colour(element.attributes["bgcolor"]), True
    if "background" in element.attributes or "background-image" in style:
        back = None
    if "background-color" in style:
        back, is_written = _solid(style["background-color"], back), True
    elif "background" in style:
        found = _BACKGROUND_COLOUR.match(style["background"])
        has_image = "url(" in style["background"] or "gradient" in style["background"]
        back, is_written = (None if has_image or not found else _solid(found[1], back)), True
    if "color" in style:
        front, is_written = colour(style["color"]), True
    elif element.name == "font" and "color" in element.attributes:
        front, is_written = colour(element.attributes["color"]), True
    if "opacity" in style:
        front = None
    if found := _PX.fullmatch(style.get("font-size", "")):
        size = float(found[1])
    elif element.name in ("h1", "h2"):
        size = 24.0
    if "font-weight" in style:
        is_bold = style["font-weight"] in ("bold", "bolder", "600", "700", "800", "900")
    elif element.name in ("b", "strong", "h1", "h2", "h3", "h4", "th"):
        is_bold = True
    return front, back, is_written, size, is_bold


def _solid(text: str, around: Colour | None) -> Colour | None:
    return around if text.strip().lower() in ("transparent", "none", "inherit") else colour(text)


def _declared(style: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            found[name.strip().lower()] = value.replace("!important", "").strip()
    return found


def _hex(of: Colour) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in of)
