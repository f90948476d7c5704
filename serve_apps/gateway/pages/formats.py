"""Formats numbers, sizes and times for the pages.

Each format of the live counters has a name. The template puts that name into ``data-format``, and ``static/formats.js``
has a function of the same name, so that the snapshot from the server and the live page read alike (an end-to-end test
compares them). All of them write an unknown value, None, as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from whisperer.events.clock import instant
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX
from whisperer.vocabulary.units import MICROS

THIN = "\u202f"  # narrow no-break space, the separator of ISO 80000-1
DASH = "–"
MINUS = "\u2212"

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_DAY_S = 86_400


def count(value: int) -> str:
    """Format 1234567 as '1 234 567', with thin spaces."""
    return f"{value:,}".replace(",", THIN)


def rate(value: float) -> str:
    """Format with one decimal below ten and none above: the digits that stay still long enough to be read."""
    return _tenths(value) if 0 < value < 9.95 else count(int(value + 0.5))


def size(value: int) -> str:
    """Format bytes in binary units, with at most three digits before the unit."""
    amount, unit = float(value), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    digits = _tenths(amount) if unit and amount < 9.95 else str(int(amount + 0.5))
    return f"{digits}{THIN}{_SIZES[unit]}"


def share(value: float) -> str:
    return f"{int(value * 100)}{THIN}%"


def user(value: str) -> str:
    """Return the client's own id; whether it belongs to a known user is shown next to it."""
    return value[2:] if value.startswith((KNOWN_PREFIX, ANONYMOUS_PREFIX)) else value


def ago(then_ms: int, now_ms: int) -> str:
    """Format as '12 s ago', from thirty days on as the date in UTC. A time ahead of ours is 'just now'."""
    seconds = (now_ms - then_ms) // 1000
    if seconds < 1:
        return "just now"
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (_DAY_S, 3600, "h"), (30 * _DAY_S, _DAY_S, "d")):
        if seconds < limit:
            return f"{seconds // unit_s}{THIN}{unit} ago"
    return _moment(then_ms).date().isoformat()


def absolute(ms: int) -> str:
    """Format date and time to the second in UTC; the browser replaces it with the viewer's own zone."""
    return _moment(ms).isoformat(" ") + " UTC"


def iso(ms: int) -> str:
    """Return the machine-readable form, for ``<time datetime>``."""
    return _moment(ms).isoformat() + "Z"


def percent(value: float) -> str:
    """Format a probability or a share: tenths where they matter, and neither 0 nor 100 unless it is exactly that."""
    hundredths = value * 100
    if 0 < hundredths < 0.05:
        digits = "<0.1"
    elif 99.5 <= hundredths < 100:
        digits = f"{int(hundredths * 10) / 10:.1f}"
    else:
        digits = _tenths(hundredths) if 0 < hundredths < 9.95 else str(int(hundredths + 0.5))
    return f"{digits}{THIN}%"


def number(value: float | None) -> str:
    """Format with three significant digits, or all digits of a whole number; a dash if it is not a number."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == int(value) or abs(value) >= 1000:
        return count(round(value)).replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def signed(value: float) -> str:
    """Format a difference, with its sign."""
    return ("+" if value > 0 else "") + number(value)


def reward(micros: int) -> str:
    """Format millionths of the goal's unit."""
    return number(micros / MICROS)


def span(ms: float) -> str:
    """Format a duration, in one unit."""
    if ms < 1000:
        return f"{max(0, int(ms))}{THIN}ms"
    for limit_ms, unit_ms, unit in ((60_000, 1000, "s"), (3_600_000, 60_000, "min"), (86_400_000, 3_600_000, "h")):
        if ms < limit_ms:
            return f"{_at_most_tenths(ms / unit_ms)}{THIN}{unit}"
    return f"{_at_most_tenths(ms / _DAY_S / 1000)}{THIN}d"


def until(then_ms: int, now_ms: int) -> str:
    """Format a time to come as 'in 12 s', any other like :func:`ago`."""
    return f"in {span(then_ms - now_ms)}" if then_ms > now_ms else ago(then_ms, now_ms)


def moment(value: int | str | None) -> int | None:
    """Return ms UTC of a time in a document, given as such a number or as ISO 8601; None for "never" (-1, null)."""
    found = instant(value) if isinstance(value, str) else value
    return None if found is None or found < 0 else int(found)


def clip(text: str, most: int = 300) -> str:
    """Shorten a stranger's text that would fill the page."""
    return text if len(text) <= most else f"{text[:most]}… ({count(len(text) - most)} more characters)"


def _at_most_tenths(value: float) -> str:
    return rate(int(value * 10) / 10).removesuffix(".0")


def _tenths(value: float) -> str:
    """Round halves up, as the browser does; Python alone would round them to even."""
    return f"{int(value * 10 + 0.5) / 10:.1f}"


def _moment(ms: int) -> datetime:
    """Return a time; one outside the years 1 to 9999 becomes the nearest one inside."""
    return datetime.fromtimestamp(min(max(ms // 1000, -62_135_596_800), 253_402_300_799), UTC).replace(tzinfo=None)


FORMATS: dict[str, Callable[[Any], str]] = {
    "count": count,
    "rate": rate,
    "size": size,
    "share": share,
    "user": user,
    "text": str,
}


def written(value: Any, form: str) -> str:
    """Return a value as the page shows it."""
    return DASH if value is None else FORMATS[form](value)
