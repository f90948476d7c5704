"""Events a day over the last 90 UTC days of each user, as a ring of buckets.

The ring ends at the user's own newest day, so that histories imported years later still answer "as of then". Buckets
are uint16 and widen for all users at once before one could overflow: counts are exact. Memory: 90 x 2 + 4 = 184 bytes
a user.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles.columns import Table
from whisperer.profiles.history import WINDOW_DAYS

SPEC: dict[str, tuple[Any, Any] | tuple[Any, Any, int]] = {
    "newest_day": (np.int32, 0),
    "daily": (np.uint16, 0, WINDOW_DAYS),
}


def add(table: Table, rows: NDArray[np.int64], days: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Count ``counts`` events of ``rows`` on ``days``; rows may repeat. Days before the ring are not kept."""
    newest = table["newest_day"]
    before = newest[rows]
    np.maximum.at(newest, rows, days)
    moved = np.unique(rows[newest[rows] > before])
    if moved.size:
        _clear_skipped(table, moved, dict(zip(rows.tolist(), before.tolist(), strict=True)))
    kept = days > newest[rows] - WINDOW_DAYS
    rows, days, counts = rows[kept], days[kept], counts[kept]
    cells = rows * WINDOW_DAYS + days % WINDOW_DAYS
    daily = table["daily"]
    limit = np.iinfo(daily.dtype).max
    if counts.size and int(daily.reshape(-1)[cells].max()) + int(counts.sum()) > limit:
        unique, inverse = np.unique(cells, return_inverse=True)
        added = np.zeros(len(unique), np.int64)
        np.add.at(added, inverse, counts)
        if int((daily.reshape(-1)[unique].astype(np.int64) + added).max()) > limit:
            table.widen("daily", np.uint32 if limit == np.iinfo(np.uint16).max else np.int64)
            daily = table["daily"]
    np.add.at(daily.reshape(-1), cells, counts.astype(daily.dtype))


def window(table: Table, rows: NDArray[np.int64], today: int, days: int) -> NDArray[np.int64]:
    """Events of ``rows`` in the ``days`` UTC days that end with ``today``; int64, shape (n,).

    Exact for ``today`` at or after the user's newest day; before it, only what the ring still holds is counted.
    """
    newest = table["newest_day"][rows].astype(np.int64)
    total = np.zeros(len(rows), np.int64)
    daily = table["daily"]
    for day in range(today - days + 1, today + 1):
        held = (day <= newest) & (day > newest - WINDOW_DAYS)
        total[held] += daily[rows[held], day % WINDOW_DAYS].astype(np.int64)
    return total


def active_days(table: Table, row: int) -> NDArray[np.int64]:
    """UTC days within the ring on which one user did anything, oldest first."""
    newest = int(table["newest_day"][row])
    days = np.arange(max(1, newest - WINDOW_DAYS + 1), newest + 1)
    active: NDArray[np.int64] = days[table["daily"][row, days % WINDOW_DAYS] > 0]
    return active


def _clear_skipped(table: Table, rows: NDArray[np.int64], row_to_before: dict[int, int]) -> None:
    """Empty the buckets between each row's old newest day and its new one: they held days 90 earlier."""
    newest = table["newest_day"][rows].astype(np.int64)
    before = np.array([row_to_before[row] for row in rows.tolist()], np.int64)
    cell = np.arange(WINDOW_DAYS)
    # The day that each cell stands for after the move, in (newest - 90, newest].
    day = newest[:, None] - (newest[:, None] - cell) % WINDOW_DAYS
    stale = day > before[:, None]
    daily = table["daily"]
    block = daily[rows]
    block[stale] = 0
    daily[rows] = block
