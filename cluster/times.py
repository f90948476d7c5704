"""Formats times for output."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1)


def iso(ms: int | None) -> str | None:
    """Format a time in ms UTC as ISO 8601 with milliseconds and Z; None stays None.

    One user shown has over a hundred of them, many in the same second.
    """
    if ms is None or ms < 0:
        return None
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=10_000)
def _second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()
