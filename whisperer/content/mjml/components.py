"""Describe MJML's elements: where each may stand, what it holds and which attributes it takes.

The table is ``components.json``, which is MJML 4's own, without what the compiler lacks: ``mj-html-attributes``,
``mj-raw`` outside the body, ``mj-include`` (it reads files). Tests compare it with npm's ``mjml``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from whisperer.content.colours import COLOURS

Content = Literal["elements", "html", "text", "css", "empty"]

EVERYWHERE = frozenset({"css-class", "mj-class"})
"""Attributes that every element takes."""
TAKES_LIQUID = frozenset({"mj-body", "mj-wrapper", "mj-section", "mj-group", "mj-column", "mj-hero"})
"""Elements between whose children Liquid may stand, such as an ``if`` around a section."""
DEFAULTS = "mj-attributes"
"""Its children set attributes of elements elsewhere, so any element may stand in it."""

MAX_TYPED_CHARS = 200
_UNIT = re.compile(r"(unit|unitWithNegative)\(([^)]*)\)(?:\{1,(\d)\})?")
_ENUM = re.compile(r"enum\(([^)]*)\)")
_COLOUR = re.compile(
    r"#(?:[0-9a-f]{3}){1,2}"
    r"|rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"
    r"|rgba\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*(?:\d(?:\.\d{1,3})?|\.\d{1,3})\s*\)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Component:
    """Describe one element; ``attributes``: name -> type, such as ``unit(px,%){1,4}``."""

    name: str
    content: Content
    parents: tuple[str, ...]
    attributes: Mapping[str, str]


@functools.cache
def components() -> Mapping[str, Component]:
    """Return the elements by name."""
    table = json.loads(files(__package__).joinpath("components.json").read_text(encoding="utf-8"))
    return {
        name: Component(name, entry["content"], tuple(entry["parents"]), entry["attributes"])
        for name, entry in table.items()
    }


@functools.cache
def every_attribute() -> frozenset[str]:
    """Return the names of all attributes of any element, which ``mj-all`` and ``mj-class`` take."""
    return frozenset(name for component in components().values() for name in component.attributes)


def wanted(kind: str, value: str) -> str | None:
    """Return what an attribute of this type takes, in words, or None if ``value`` fits.

    >>> wanted("unit(px,%){1,4}", "10px 5%"), wanted("enum(ltr,rtl)", "left")
    (None, 'one of ltr, rtl')
    """
    if kind == "string":
        return None
    if len(value) > MAX_TYPED_CHARS:
        return f"at most {MAX_TYPED_CHARS} characters"
    if kind == "color":
        fits = value in COLOURS or value == "transparent" or _COLOUR.fullmatch(value)
        return None if fits else "a colour such as #0b6e5f"
    if kind == "boolean":
        return None if value in ("true", "false") else "true or false"
    if kind == "integer":
        return None if re.fullmatch(r"[0-9]+(?:px)?", value) else "a whole number"
    if enum := _ENUM.fullmatch(kind):
        words = enum[1].split(",")
        return None if value in words else "one of " + ", ".join(filter(None, words))
    unit = _UNIT.fullmatch(kind)
    assert unit is not None, kind
    units, most = unit[2].split(","), int(unit[3] or 1)
    sign = "-?" if unit[1] == "unitWithNegative" else ""
    endings = "|".join(re.escape(one) for one in units if one != "auto")
    one = re.compile(rf"{sign}[0-9.,]+(?:{endings})|0" + ("|auto" if "auto" in units else ""))
    lengths = value.rstrip(" ").split(" ")
    if len(lengths) <= most and all(one.fullmatch(length) for length in lengths):
        return None
    named = " or ".join(one or "no unit" for one in units)
    return f"a length in {named}" if most == 1 else f"1 to {most} lengths in {named}"
