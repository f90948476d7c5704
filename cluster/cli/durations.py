"""Reads times that people type: an ISO 8601 time, or how long from now."""

from __future__ import annotations

import re

from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.vocabulary.units import DAY_MS, HOUR_MS, MINUTE_MS

_SPAN = re.compile(r"(\d{1,6})([mhd])")
_UNIT_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


def span_ms(text: str) -> int:
    """Return how long ``24h``, ``7d``, ``30m`` or ``0`` is, in ms. Raises RequestError."""
    if text == "0":
        return 0
    found = _SPAN.fullmatch(text)
    if found is None:
        raise RequestError(f"{text[:40]!r} is no length of time such as 24h, 7d, 30m or 0")
    return int(found[1]) * _UNIT_MS[found[2]]


def moment_ms(text: str, now: int) -> int:
    """Return a time in ms UTC, given in ISO 8601 or as how long from ``now``. Raises RequestError."""
    if _SPAN.fullmatch(text):
        return now + span_ms(text)
    found = instant(text)
    if found is None:
        raise RequestError(f"{text[:40]!r} is neither an ISO 8601 time nor a length of time such as 90d, 12h or 30m")
    return found
