"""Interprets a value as written: numbers exactly, anything else as an id or a name.

Text is a number only if its own characters say so: ASCII digits, no grouping, surrounded by nothing but blanks. A
number is never rounded: one that float64 cannot hold to the last digit stays a decimal.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec

_BLANKS = " \t\r\n"
_INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_MAX_DIGITS = 4_000  # of an integer: Python refuses longer ones
_WHOLE_BELOW = 2.0**53

_encode = msgspec.json.Encoder(decimal_format="number").encode


def integer(text: str) -> int | None:
    """Return the integer that a text states: ``5``, ``+5``, ``007``, ``5.0``; not ``1e3``, ``100_1`` or ``5.5``."""
    found = _INTEGER.fullmatch(text.strip(_BLANKS))
    return int(found[1]) if found and len(found[1]) <= _MAX_DIGITS else None


def number(text: str) -> int | float | Decimal | None:
    """Return the finite number that a text states, or None."""
    text = text.strip(_BLANKS)
    if not _NUMBER.fullmatch(text) or len(text) > _MAX_DIGITS:
        return None
    return int(text) if text.lstrip("+-").isdigit() else _exactly(text)


def json_float(text: str) -> float | Decimal:
    """Parse a JSON number with a point or an exponent."""
    found = _exactly(text)
    return Decimal(text) if found is None else found


def _exactly(text: str) -> float | Decimal | None:
    nearest, exact = float(text), Decimal(text)
    if nearest in (float("inf"), float("-inf")):
        return None
    return nearest if Decimal(repr(nearest)) == exact else exact


def as_text(value: Any) -> str:
    """Return a value as an id or a name: a whole number loses its ``.0``, which tables with gaps give to integers."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        whole = value == value.to_integral_value() and value.adjusted() < _MAX_DIGITS
        return str(int(value)) if whole else format(value, "f")
    if isinstance(value, bytes):
        return bytes_text(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return _encode(value).decode()
    return str(value)


def bytes_text(value: bytes) -> str:
    """Return bytes as text if they are UTF-8, otherwise as hexadecimal digits."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def as_integer(value: Any) -> Any:
    """Return ``value`` as an integer if it is one, otherwise unchanged."""
    if isinstance(value, str):
        found = integer(value)
        return value if found is None else found
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _WHOLE_BELOW else value
    if isinstance(value, Decimal):
        whole = value.is_finite() and value.adjusted() < _MAX_DIGITS and value == value.to_integral_value()
        return int(value) if whole else value
    return value


def as_number(value: Any) -> Any:
    """Return a text as a number if it states one, otherwise ``value`` unchanged."""
    if not isinstance(value, str):
        return value
    found = number(value)
    return value if found is None else found


_BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)


def as_boolean(value: Any) -> Any:
    """Return ``value`` as a boolean if it reads like one (yes, true, 1, ...), otherwise unchanged."""
    return _BOOLEANS.get(as_text(value).strip().lower(), value)
