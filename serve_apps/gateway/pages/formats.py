"""How the home page writes numbers, sizes and times.

Each format has a name. The template puts that name into ``data-format``, and ``static/formats.js`` holds a function of
the same name, so that the snapshot from the server and the live page read alike (an end-to-end test compares them).
An unknown value, None, is written as a dash by all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX

THIN = "\u202f"  # narrow no-break space, the separator of ISO 80000-1
DASH = "–"

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_DAY_S = 86_400


def count(value: int) -> str:
    """1234567 -> '1 234 567', with thin spaces."""
    return f"{value:,}".replace(",", THIN)


def rate(value: float) -> str:
    """One decimal below ten, whole numbers above: the digits that hold still long enough to be read."""
    return _tenths(value) if 0 < value < 9.95 else count(int(value + 0.5))


def size(value: int) -> str:
    """Bytes in binary units, three digits of them at most before the unit."""
    amount, unit = float(value), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    digits = _tenths(amount) if unit and amount < 9.95 else str(int(amount + 0.5))
    return f"{digits}{THIN}{_SIZES[unit]}"


def share(value: float) -> str:
    return f"{int(value * 100)}{THIN}%"


def user(value: str) -> str:
    """The client's own id; whether it is a known user's is shown beside it."""
    return value[2:] if value.startswith((KNOWN_PREFIX, ANONYMOUS_PREFIX)) else value


def ago(then_ms: int, now_ms: int) -> str:
    """'12 s ago'; from thirty days on the date in UTC. A time ahead of ours is 'just now'."""
    seconds = (now_ms - then_ms) // 1000
    if seconds < 1:
        return "just now"
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (_DAY_S, 3600, "h"), (30 * _DAY_S, _DAY_S, "d")):
        if seconds < limit:
            return f"{seconds // unit_s}{THIN}{unit} ago"
    return _moment(then_ms).date().isoformat()


def absolute(ms: int) -> str:
    """Date and time to the second in UTC; the browser replaces it by the viewer's own zone."""
    return _moment(ms).isoformat(" ") + " UTC"


def iso(ms: int) -> str:
    """The machine-readable form, for ``<time datetime>``."""
    return _moment(ms).isoformat() + "Z"


def _tenths(value: float) -> str:
    """Halves go up, as in the browser; Python alone would round them to even."""
    return f"{int(value * 10 + 0.5) / 10:.1f}"


def _moment(ms: int) -> datetime:
    """A time outside the years 1 to 9999 is shown as the nearest one inside."""
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
    """A value as the page shows it."""
    return DASH if value is None else FORMATS[form](value)
