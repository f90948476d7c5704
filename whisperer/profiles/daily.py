"""Count each user's events per day over the last 90 UTC days, in a ring of buckets.

The ring ends at the user's own newest day, so that histories imported years later still answer "as of then". Buckets
are uint16 and widen for all users at once before one could overflow, so counts are exact. Memory: 90 x 2 + 4 = 184
bytes per user.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.profiles.columns import Table
from whisperer.profiles.record import WINDOW_DAYS
from whisperer.profiles.slabs import int64


@kernel
def count_day(records: Any, daily: Any, limit: int, row: int, day: int, count: int) -> Any:
    """Count events of a row on a day; if the bucket is too narrow, change nothing and return false."""
    newest = int64(records[row].newest_day)
    cell = day % WINDOW_DAYS
    if day > newest:
        if count > limit:
            return False
        # Buckets between the old newest day and the new one hold the days 90 days earlier.
        if newest:
            for skipped in range(max(newest + 1, day - WINDOW_DAYS + 1), day + 1):
                daily[row, skipped % WINDOW_DAYS] = 0
        records[row].newest_day = day
    elif day <= newest - WINDOW_DAYS:
        return True  # before the ring
    if int64(daily[row, cell]) + count > limit:
        return False
    daily[row, cell] += count
    return True


@kernel
def _add(records: Any, daily: Any, limit: int, rows: Any, days: Any, counts: Any, done: int) -> Any:
    for i in range(done, len(rows)):
        if not count_day(records, daily, limit, rows[i], days[i], counts[i]):
            return i
    return len(rows)


@kernel
def _window(records: Any, daily: Any, rows: Any, today: int, days: int, totals: Any) -> None:
    for i in range(len(rows)):
        newest = int64(records[rows[i]].newest_day)
        first = max(today - days, newest - WINDOW_DAYS) + 1
        begin = first % WINDOW_DAYS
        end = begin + min(today, newest) - first + 1  # may pass the ring's end: then it continues at the start
        total = 0
        for cell in range(begin, min(end, WINDOW_DAYS)):
            total += int64(daily[rows[i], cell])
        for cell in range(end - WINDOW_DAYS):
            total += int64(daily[rows[i], cell])
        totals[i] = total


@kernel
def _active(
    records: Any, daily: Any, rows: Any, after: int, recent: Any, days: Any, firsts: Any, lasts: Any, mean: Any, sd: Any
) -> None:
    for i in range(len(rows)):
        newest = int64(records[rows[i]].newest_day)
        first, last, squares, n, n_after = 0, 0, 0, 0, 0
        for day in range(max(1, newest - WINDOW_DAYS + 1), newest + 1):
            if daily[rows[i], day % WINDOW_DAYS]:
                if n:
                    squares += (day - last) ** 2
                else:
                    first = day
                last = day
                n += 1
                n_after += day > after
        recent[i], days[i], firsts[i], lasts[i] = n_after, n, first, last
        if n > 1:
            # From integers, so that the order of summation does not matter.
            gaps, span = n - 1, last - first
            mean[i] = span / gaps
            sd[i] = np.sqrt(float(squares * gaps - span * span)) / gaps


def add(table: Table, rows: NDArray[np.int64], days: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Add ``counts`` events of ``rows`` on ``days``; rows may repeat. Days before the ring are ignored."""
    done = 0
    while done < len(rows):
        daily = table["daily"]
        done = _add(table.records, daily, np.iinfo(daily.dtype).max, rows, days, counts, done)
        if done < len(rows):
            del daily
            widen(table)


def widen(table: Table) -> None:
    """Give the ring's buckets the next wider type: uint32, then int64."""
    table.widen("daily", np.uint32 if table["daily"].dtype == np.uint16 else np.int64)


def window(table: Table, rows: NDArray[np.int64], today: int, days: int) -> NDArray[np.int64]:
    """Count the events of ``rows`` in the ``days`` UTC days that end with ``today``; int64, shape (n,).

    Exact if ``today`` is the user's newest day or later; before it, only what the ring still holds is counted.
    """
    totals = np.empty(len(rows), np.int64)
    _window(table.records, table["daily"], rows, today, days, totals)
    return totals


class Activity(NamedTuple):
    """Describe each user's active days (UTC days with any event) within the ring. Shape (n,) each."""

    recent: NDArray[np.float64]
    """How many are later than the day ``after``."""
    n_days: NDArray[np.int64]
    first: NDArray[np.int64]
    """The first and the last active day; 0 if there is none."""
    last: NDArray[np.int64]
    gap_mean: NDArray[np.float64]
    """Mean and standard deviation of the gaps between active days, in days; NaN if there is no gap."""
    gap_sd: NDArray[np.float64]


def activity(table: Table, rows: NDArray[np.int64], after: int) -> Activity:
    """Describe the active days of ``rows`` within the ring, counting those after the UTC day ``after`` separately."""
    n = len(rows)
    n_days, first, last = np.empty((3, n), np.int64)
    found = Activity(np.empty(n), n_days, first, last, np.full(n, np.nan), np.full(n, np.nan))
    _active(table.records, table["daily"], rows, after, *found)
    return found


def active_days(table: Table, row: int) -> NDArray[np.int64]:
    """Return the UTC days within the ring on which one user did anything, oldest first."""
    newest = int(table["newest_day"][row])
    days = np.arange(max(1, newest - WINDOW_DAYS + 1), newest + 1)
    active: NDArray[np.int64] = days[table["daily"][row, days % WINDOW_DAYS] > 0]
    return active
