"""Read an admitted event's stored payload, wherever it is shown.

JSON does not limit numbers; msgspec does (a float's range, 4,300 digits). A number beyond that is valid JSON, so it was
admitted and stored as it came. Here it becomes a string of its digits: nothing stored is ever unreadable.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from msgspec import Raw

_MAX_INT_DIGITS = 4_300  # CPython's own limit for text to int

_decode_any = msgspec.json.Decoder().decode


def decode_json(payload: bytes | Raw) -> Any:
    """Decode any admitted JSON to Python values, a number out of range to a string of its digits."""
    try:
        return _decode_any(payload)
    except msgspec.ValidationError:
        return json.loads(bytes(payload), parse_float=_float_or_text, parse_int=_int_or_text)


def _float_or_text(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _int_or_text(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else digits
