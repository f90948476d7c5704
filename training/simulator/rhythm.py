"""Decide when people are at work: a profile by local hour and weekday, in each user's zone, summer time included."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from .people import ZONES

_WORKDAY = (1, 1, 1, 1, 1, 2, 5, 14, 40, 80, 95, 90, 60, 75, 95, 90, 80, 60, 40, 32, 30, 24, 12, 4)
_DAY_OFF = (3, 2, 1, 1, 1, 1, 3, 8, 20, 38, 50, 52, 48, 44, 44, 46, 48, 50, 54, 60, 62, 50, 28, 10)

PROFILE: NDArray[np.float64] = np.array([np.array(p) / sum(p) for p in (_WORKDAY, _DAY_OFF)])
"""Share of a day's visits that begin in each local hour, shape (2, 24): workday, day off; each row sums to 1."""

_ZONE_INFO = tuple(ZoneInfo(name) for name, _, _ in ZONES)


def local_clock(at_ms: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the local hour 0..23 and whether it is Saturday or Sunday, by zone, shape (n_zones,), at an instant."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    local = [moment.astimezone(zone) for zone in _ZONE_INFO]
    return np.array([t.hour for t in local]), np.array([t.weekday() >= 5 for t in local])


def visit_weight(
    hour: NDArray[np.int64], day_off: NDArray[np.bool_], early_by_h: NDArray[np.int64], weekend: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of a user's daily visits in this hour, shape (n_users,): habits shift and damp the profile."""
    shifted = (hour + early_by_h) % 24
    return np.asarray(np.where(day_off, weekend * PROFILE[1, shifted], PROFILE[0, shifted]))
