"""Compute each user's whole life as three numbers, from a shard's state: the input to which BG/NBD is fitted.

A live shard keeps 90 days of activity per user, and the first day forever. A life is longer, so the shard lives through
the past once more (:class:`training.rows.replay.Replay`) and is asked every 90 days: windows that touch and do not
overlap add up to a life. Guarantees: the arithmetic of days is the shard's own; identities are merged as they were
live; nothing that arrived after the last day is counted. If two merged users were both active on a day that was over
before the merge, that day counts twice; events that arrived late for a window already asked about are not in it
(histories in order of ``timestamp`` have none). Leaves to others: the fit (:mod:`training.churn.bgnbd_fit`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.rows.replay import Replay
from whisperer.ids import TenantId, UserKey
from whisperer.profiles import daily
from whisperer.profiles.history import day_of
from whisperer.profiles.record import WINDOW_DAYS
from whisperer.vocabulary.units import DAY_MS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """Hold the lives of all users who were ever active, in weeks; an active UTC day is a purchase.

    Attributes
    ----------
    keys : of the users, as of the last day
    x : active days after the first, float64, shape (n_users,)
    t_x, T : from the first active day to the newest, and to the last day asked about; float64, shape (n_users,)
    """

    keys: list[UserKey]
    x: Floats
    t_x: Floats
    T: Floats


def lifetimes(events: Iterable[pa.RecordBatch], tenant: TenantId, until: int) -> Lifetimes:
    """Compute lives up to ``until``.

    Parameters
    ----------
    events : in order of arrival, as :func:`training.rows.blocks.stored_events` gives them
    until : ms UTC; the day it falls on is no longer counted

    Examples
    --------
    >>> lifetimes([], "acme", 0).x
    array([], dtype=float64)
    """
    replay, end = Replay(tenant), until // DAY_MS
    people, counted = replay.tenant.people, np.zeros(0, np.int64)

    def with_window(number: int) -> NDArray[np.int64]:
        """Count active days by row, up to and including the window ``number`` windows before the last."""
        rows = np.arange(people.table.n)
        active = daily.activity(people.table, rows, end - 1 - WINDOW_DAYS * (number + 1)).recent.astype(np.int64)
        active[: len(counted)] += counted
        return active

    at = -1
    for batch in events:
        window = (end * DAY_MS - 1 - batch["arrived"].to_numpy()) // (WINDOW_DAYS * DAY_MS)
        for number in np.unique(window[window >= 0])[::-1].tolist():
            if number != at >= 0:
                counted = with_window(at)
            at = number
            replay.bring(batch.filter(window == number))
    if at >= 0:
        counted = with_window(at)
    rows = replay.users()
    n_days = np.bincount(replay.roots(), counted, people.table.n)[rows]
    first = day_of(people.table["first_seen"][rows])
    lived = daily.activity(people.table, rows, end).last - first
    x = np.minimum(n_days - 1, lived).astype(np.float64)
    return Lifetimes(people.keys.texts(rows), x, np.where(x > 0, lived, 0) / 7, (end - 1 - first) / 7)
