"""Say what a tenant may set of its brand: what templates know as ``brand``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from whisperer.content.colours import colour

MAX_CHARS = 300

COLOURS = ("primary", "accent", "background", "text")
ADDRESSES = ("logo", "website")
FIELDS = ("name", "address", *ADDRESSES, *COLOURS, "font")
"""Sender's name and postal address, picture and site, colours, and the list of fonts."""

_FONT = re.compile(r"[\w ,'-]+")


def brand_problem(name: str, value: str) -> str | None:
    """Return what is wrong with one setting, in words, or None; "" takes a setting out.

    >>> brand_problem("primary", "#0b6e5f"), brand_problem("logo", "http://a.example/logo.png")
    (None, 'logo takes an https address')
    """
    if name not in FIELDS:
        return f"a brand has {', '.join(FIELDS)}"
    if not value:
        return None
    if len(value) > MAX_CHARS:
        return f"at most {MAX_CHARS} characters"
    if any(not char.isprintable() for char in value):
        return "write it on one line, without control characters"
    if name in COLOURS and colour(value) is None:
        return f"{name} takes a colour such as #0b6e5f"
    if name in ADDRESSES and not _is_https(value):
        return f"{name} takes an https address"
    if name == "font" and not _FONT.fullmatch(value):
        return "font takes names with commas between, such as Inter, Arial, sans-serif"
    return None


def changed_brand(held: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Return a brand with changes made: an empty value is taken out, what is not named stays."""
    return {name: value for name in FIELDS if (value := changes.get(name, held.get(name, "")))}


def _is_https(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and not re.search(r"\s", text)
