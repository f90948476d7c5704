"""Define what a catalogue's items hold: named fields of six kinds, and an id.

Guarantees: what :func:`checked_item` returns has values of the declared kinds only, within the limits below, so that a
template can compare and write them without looking. Leaves to others: how many items there may be
(:mod:`cluster.control_plane.catalogues`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from whisperer.errors import Problem, ProblemsError

KINDS = ("string", "number", "boolean", "time", "url", "list")
"""``time`` is ISO 8601, kept in UTC; ``list`` is of strings."""
ID = "id"
MAX_FIELDS = 40
MAX_ID_CHARS = 128
MAX_TEXT_CHARS = 2_000
MAX_LIST = 50
MAX_ITEM_BYTES = 4_096
"""Of an item as JSON, its id included."""
MAX_PROBLEMS = 100

FIELD_PATTERN = r"[a-z][a-z0-9_]{0,62}"
_FIELD = re.compile(FIELD_PATTERN)
_WORDS_OF_LIQUID = frozenset(
    {"id", "and", "or", "not", "in", "contains", "true", "false", "nil", "null", "empty", "blank", "if", "else", "with"}
    | {"for", "as", "limit", "offset", "reversed", "cols", "continue", "sort", "where", "from", "required", "size"}
    | {"first", "last"}
)
"""What a template would read as something else."""
_EXACT = 2**53

Value = str | int | float | bool | list[str]
Fields = Mapping[str, str]
"""Field -> kind."""


class CatalogueError(ProblemsError):
    """Say what is wrong with a catalogue or its items."""

    code = "invalid_catalogue"
    subject = "catalogue"
    status = 422


class ItemsError(ProblemsError):
    """Say which of the items of an upload are wrong."""

    code = "invalid_items"
    subject = "upload"
    status = 422


def checked_fields(obj: object) -> dict[str, str]:
    """Return the fields of a decoded definition. Raises CatalogueError with every problem.

    >>> checked_fields({"name": "string", "price": "number"})
    {'name': 'string', 'price': 'number'}
    """
    problems: list[Problem] = []
    if not isinstance(obj, dict) or not 1 <= len(obj) <= MAX_FIELDS:
        message = f"write 1 to {MAX_FIELDS} fields, each with its kind: {{"
        raise CatalogueError([_problem("/fields", "invalid_type", f'{message}"name": "string"}}')])
    for name, kind in obj.items():
        at = f"/fields/{pointer_step(name)}"
        if not isinstance(name, str) or not _FIELD.fullmatch(name):
            message = "a field's name has up to 63 lower-case letters, digits and _, and begins with a letter"
            problems.append(_problem(at, "invalid_name", message))
        elif name in _WORDS_OF_LIQUID:
            problems.append(_problem(at, "invalid_name", f"{name} means something else in a template; take another"))
        elif not isinstance(kind, str) or kind not in KINDS:
            problems.append(_problem(at, "unknown_kind", f"write one of {', '.join(KINDS)}"))
    if problems:
        raise CatalogueError(problems[:MAX_PROBLEMS])
    return dict(obj)


def checked_id(value: object) -> str | None:
    """Return an item's id as text, or None if it is none: 1 to 128 printable characters; whole numbers count too."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _EXACT:
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS or not value.isprintable() or "/" in value:
        return None
    return value if value == value.strip() else None


def checked_item(fields: Fields, obj: Mapping[str, Any]) -> dict[str, Value] | str:
    """Return an item's values by field, without those that are absent or null; or what is wrong, in words.

    The id is not among them.
    """
    found: dict[str, Value] = {}
    for name, given in obj.items():
        if name == ID or given is None:
            continue
        kind = fields.get(name)
        if kind is None:
            return f"there is no field {str(name)[:60]!r}; there are {', '.join(fields)}"
        value = _READ[kind](given)
        if value is None:
            return f"{name} is to be {_SAID[kind]}"
        found[name] = value
    return found


def encoded_item(id: str, values: Mapping[str, Value]) -> bytes | None:
    """Return an item as JSON, id first; None if it is too large."""
    text = msgspec.json.encode({ID: id, **values})
    return text if len(text) <= MAX_ITEM_BYTES else None


def time_ms(value: object) -> int | None:
    """Return a time, given as ISO 8601 with or without a zone (then UTC), in ms UTC; None if it is none."""
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    try:
        stamp = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
    return round(stamp * 1000)


def pointer_step(name: object) -> str:
    """Return a name as a step of a JSON Pointer, short and encodable."""
    text = str(name)[:60].encode("utf-8", "backslashreplace").decode()
    return text.replace("~", "~0").replace("/", "~1")


def _text(given: object) -> str | None:
    if not isinstance(given, str) or len(given) > MAX_TEXT_CHARS or "\x00" in given:
        return None
    return None if any("\ud800" <= char <= "\udfff" for char in given) else given


def _number(given: object) -> int | float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    return given if math.isfinite(given) and abs(given) < _EXACT else None


def _boolean(given: object) -> bool | None:
    return given if isinstance(given, bool) else None


def _time(given: object) -> str | None:
    ms = time_ms(given)
    if ms is None or not 0 <= ms < 253_402_300_800_000:  # the year 10,000
        return None
    return datetime.fromtimestamp(ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def _url(given: object) -> str | None:
    text = _text(given)
    if text is None or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("https", "http") and parts.hostname and parts.username is None else None


def _list(given: object) -> list[str] | None:
    if not isinstance(given, list) or len(given) > MAX_LIST:
        return None
    found = [text for text in map(_text, given) if text is not None]
    return found if len(found) == len(given) else None


_READ: dict[str, Any] = dict(zip(KINDS, (_text, _number, _boolean, _time, _url, _list), strict=True))
_SAID = {
    "string": f"a text of at most {MAX_TEXT_CHARS:,} characters",
    "number": "a finite number below 2 to the power of 53",
    "boolean": "true or false",
    "time": "a time such as 2026-01-31T09:00:00Z",
    "url": "an address that begins with https:// or http://",
    "list": f"a list of at most {MAX_LIST} texts",
}


def _problem(pointer: str, code: str, message: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message)
