"""Convert revenue from the wire to exact int64 micro-units.

Accepts JSON numbers, and strings that are a plain decimal ("12.50"; no currency sign, no exponent, no grouping). More
than six decimals are rounded half to even.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import ROUND_HALF_EVEN, Context

from whisperer.events.outcome import Notice
from whisperer.events.types import EventType
from whisperer.events.wire import WireEvent

MICRO = 1_000_000
_INT64_MAX = 2**63 - 1
_INT64_END = 2.0**63
_MAX_DIGITS = 64  # in a string: far more than int64 holds, few enough to be cheap
_PLAIN_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_EXACT = Context(prec=_MAX_DIGITS + 8, rounding=ROUND_HALF_EVEN)


def revenue_of(event: WireEvent, kind: int, notices: Counter[Notice]) -> int:
    """Return a track event's ``properties.revenue`` in micro-units; 0 if absent, or if unusable (counted)."""
    if kind != EventType.TRACK or event.properties is None or event.properties.revenue is None:
        return 0
    micros = micro_units(event.properties.revenue)
    if micros is None:
        notices[Notice.INVALID_REVENUE] += 1
    return micros or 0


def micro_units(amount: str | int | float) -> int | None:
    """Return an amount in micro-units, in [-2**63, 2**63 - 1]; None if out of range or not a plain decimal."""
    if isinstance(amount, float):
        scaled = amount * 1e6
        return round(scaled) if -_INT64_END <= scaled < _INT64_END else None
    if isinstance(amount, int):
        micros = amount * MICRO
    else:
        text = amount.strip()
        if len(text) > _MAX_DIGITS or not _PLAIN_DECIMAL.fullmatch(text):
            return None
        micros = int(_EXACT.create_decimal(text).scaleb(6, _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))
    return micros if -_INT64_MAX - 1 <= micros <= _INT64_MAX else None
