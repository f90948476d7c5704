"""Decide which parts of an e-mail's HTML its readers do not see, from attributes alone.

Gone, with everything inside: ``hidden``; ``display: none``; ``opacity: 0``; a height or width of 0, or at most 0, with
overflow cut off (``overflow: hidden``). Not read, though what is inside may be: text with ``font-size: 0`` (e-mail
builders set it around columns) or ``visibility: hidden``. The preheader, which an inbox shows next to the subject, is
hidden in such ways. Read: ``aria-hidden``, which is shown and only not read aloud; ``mso-hide: all``, which one program
hides and all others show; ``noscript``, as mail programs run no scripts. Leaves to others: style sheets, and whatever
is painted over or out of sight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_NOTHING = re.compile(r"[+-]?0*\.?0+(?:[a-z]+|%)?|0+\.")
_IMPORTANT = re.compile(r"\s*!\s*important\Z")
_RELATIVE = re.compile(r"[\d.]+(?:em|%)|inherit|larger|smaller")  # relative to size 0 they are 0 as well
_EXTENTS = ("height", "max-height", "width", "max-width")


@dataclass(frozen=True, slots=True)
class Visibility:
    """Hold an element's visibility. ``is_gone``: neither it nor anything inside is shown; the others are inherited."""

    is_gone: bool = False
    has_size: bool = True
    is_visible: bool = True

    @property
    def is_read(self) -> bool:
        """Return whether the element's own text is seen."""
        return self.has_size and self.is_visible


SHOWN = Visibility()


def look_of(attributes: Mapping[str, str | None], around: Visibility) -> Visibility:
    """Return the look of an element with these attributes, inside one that looks like ``around``.

    >>> look_of({"style": "DISPLAY : none"}, SHOWN).is_gone, look_of({"style": "font-size:0"}, SHOWN).is_read
    (True, False)
    """
    if "hidden" in attributes:
        return Visibility(is_gone=True)
    written = attributes.get("style")
    if not written:
        return around
    style = _declared(written)
    cut_off = "hidden" in (style.get("overflow", "").split() or [""]) or style.get("overflow-y") == "hidden"
    if (
        style.get("display") == "none"
        or _is_nothing(style.get("opacity"))
        or (cut_off and any(_is_nothing(style.get(extent)) for extent in _EXTENTS))
    ):
        return Visibility(is_gone=True)
    look = around
    size = style.get("font-size")
    if _is_nothing(size):
        look = replace(look, has_size=False)
    elif size is not None and not _RELATIVE.fullmatch(size):
        look = replace(look, has_size=True)
    if "visibility" in style and style["visibility"] != "inherit":
        look = replace(look, is_visible=style["visibility"] not in ("hidden", "collapse"))
    return look


def _declared(style: str) -> dict[str, str]:
    """Return property -> value, both in lower case; the last one counts, except that an important one wins."""
    found: dict[str, str] = {}
    important: set[str] = set()
    for declaration in _COMMENT.sub("", style).lower().split(";"):
        name, colon, value = declaration.partition(":")
        name, plain = name.strip(), _IMPORTANT.sub("", value).strip()
        is_important = plain != value.strip()
        if colon and plain and (is_important or name not in important):
            found[name] = plain
            if is_important:
                important.add(name)
    return found


def _is_nothing(value: str | None) -> bool:
    return value is not None and _NOTHING.fullmatch(value) is not None
