"""Reads the Retry-After header, for any client of the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 300.0


def retry_after_s(header: str | None, *, now_s: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that the header asks for (as seconds or an HTTP date), 0 to 300; None if it is not usable."""
    if not header:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(header).timestamp() - now_s()
        except ValueError:
            return None
    return min(MAX_RETRY_AFTER_S, max(0.0, wait_s)) if wait_s == wait_s else None
