"""Answer who is active: stickiness and lifecycle, from the buckets in which each user did something.

The query brings each user's buckets together; here they are counted, for all users of a batch at once.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from whisperer.analytics.answers import (
    ActiveUsers,
    LifecycleAnswer,
    LifecycleBucket,
    StickinessAnswer,
    iso,
    span_of,
)
from whisperer.analytics.calendar import Interval, local_date, midnight
from whisperer.analytics.questions import Lifecycle, Period, Stickiness, period_of
from whisperer.analytics.sql import MOMENT, Query
from whisperer.analytics.statement import Ask, Statement

Ints = NDArray[np.int64]

WEEK, MONTH = 7, 30
"""Days that count as a week and a month of active users, the day itself included."""


def lifecycle(question: Lifecycle, now: int, ask: Ask) -> LifecycleAnswer:
    """Return the answer to a question that was checked."""
    period = whole(period_of(question, now), question.interval)
    calendar = period.calendar()
    buckets = calendar.buckets(question.interval)
    counts = np.zeros((4, len(buckets) + 1), np.int64)
    for batch in ask(statement(question, period, None)):
        count_lifecycle(*_places(batch), counts)
    rows = zip(buckets, *(row.tolist() for row in counts[:, :-1]), strict=True)
    return LifecycleAnswer(
        as_of=iso(now),
        period=span_of(period),
        interval=question.interval,
        buckets=[
            LifecycleBucket(
                start=calendar.label(bucket, question.interval),
                new=new,
                returning=returning,
                resurrecting=resurrecting,
                dormant=dormant,
            )
            for bucket, new, returning, resurrecting, dormant in rows
        ],
    )


def stickiness(question: Stickiness, now: int, ask: Ask) -> StickinessAnswer:
    """Return the answer to a question that was checked."""
    period = whole(period_of(question, now), question.interval)
    calendar = period.calendar()
    by_count = np.zeros(len(calendar.buckets(question.interval)) + 1, np.int64)
    for batch in ask(statement(question, period, period.since)):
        by_count += np.bincount(np.bincount(_places(batch)[1]), minlength=len(by_count))
    days = calendar.buckets("day")
    active = np.zeros((3, len(days) + 1), np.int64)
    before = local_date(period.since, period.zone) - timedelta(days=MONTH - 1)
    longer = Period(midnight(before, period.zone), period.until, period.zone)
    by_day = Stickiness(of=question.of, where=question.where, interval="day")
    for batch in ask(statement(by_day, longer, longer.since)):
        places, users = _places(batch)
        for row, length in enumerate((1, WEEK, MONTH)):
            count_active(places - (MONTH - 1), users, length, active[row])
    return StickinessAnswer(
        as_of=iso(now),
        period=span_of(period),
        interval=question.interval,
        users_by_count=by_count[1:].tolist(),
        active=[
            ActiveUsers(day=calendar.label(day, "day"), daily=d, weekly=w, monthly=m, stickiness=d / m if m else None)
            for day, d, w, m in zip(days, *(row.tolist() for row in active[:, :-1]), strict=True)
        ],
    )


def whole(period: Period, interval: Interval) -> Period:
    """Return a period that begins with its first bucket: who is active in it is asked of all of it."""
    calendar = period.calendar()
    return Period(calendar.begins(calendar.bucket(period.since, interval), interval), period.until, period.zone)


def statement(question: Lifecycle | Stickiness, period: Period, since: int | None) -> Statement:
    """Return the query: one row a user, a list of the places of the buckets in which they did something.

    Places count from 0 in the period. ``since`` None: from before everything, where each earlier bucket is the one
    before the period (-1) or some older one (-2).
    """
    query = Query(period)
    calendar = period.calendar()
    first = calendar.bucket(period.since, question.interval)
    wanted = [f"e.timestamp < {query.moment(period.until)}", query.selected(question.of)]
    if since is not None:
        wanted.append(f"e.timestamp >= {query.moment(since)}")
    if question.where is not None:
        wanted.append(query.condition(question.where))
    place = f"{calendar.bucket_sql(MOMENT, question.interval)}::BIGINT - {first}"
    if since is None:
        last_before = calendar.begins(first - 1, question.interval)
        place = f"CASE WHEN {MOMENT} < {last_before} THEN -2 WHEN {MOMENT} < {period.since} THEN -1 ELSE {place} END"
    source = f"SELECT {query.who()} AS who, ({place})::BIGINT AS place {query.of_events()} WHERE {' AND '.join(wanted)}"
    text = f"{query.opening()}SELECT list(place) AS places FROM ({source}) GROUP BY who"
    return Statement(text, query, since, period.until)


def count_lifecycle(places: Ints, users: Ints, counts: Ints) -> None:
    """Add users to the rows new, returning, resurrecting and dormant, by bucket; each user's places are in order."""
    if not len(places):
        return
    n_buckets = counts.shape[1] - 1
    is_first = np.concatenate(([True], users[1:] != users[:-1]))
    before = np.concatenate(([-9], places[:-1]))
    kinds = np.where(is_first, 0, np.where(places - before == 1, 1, 2))
    inside = places >= 0
    np.add.at(counts, (kinds[inside], places[inside]), 1)
    following = np.concatenate((places[1:], [-9]))
    goes_on = np.concatenate((~is_first[1:], [False])) & (following == places + 1)
    ends = places[~goes_on & (places >= -1)] + 1
    counts[3] += np.bincount(ends[ends <= n_buckets], minlength=n_buckets + 1)


def count_active(days: Ints, users: Ints, length: int, counts: Ints) -> None:
    """Add users to each day at which they did something within the last ``length`` days; in order of user and day."""
    if not len(days):
        return
    n_days = len(counts) - 1
    is_last = np.concatenate((users[1:] != users[:-1], [True]))
    following = np.concatenate((days[1:], [0]))
    end = np.where(is_last, days + length, np.minimum(days + length, following))
    begin = np.clip(days, 0, n_days)
    change = np.bincount(begin, minlength=n_days + 1) - np.bincount(np.clip(end, 0, n_days), minlength=n_days + 1)
    counts += np.cumsum(change)


def _places(batch: pa.RecordBatch) -> tuple[Ints, Ints]:
    """Return each user's places, in order and each once, and whose they are."""
    lists = batch.column(0)
    places: Ints = lists.flatten().to_numpy(zero_copy_only=False)
    if not len(places):
        return places, places
    lowest = int(places.min())
    span = int(places.max()) - lowest + 1
    users = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
    keys = np.unique(users * span + places - lowest)
    return keys % span + lowest, keys // span
