"""Answer retention: the query brings together in which buckets each user began and returned; here they are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.analytics.answers import Cohort, RetentionAnswer, RetentionTotal, iso, span_of
from whisperer.analytics.questions import Period, Retention, period_of
from whisperer.analytics.sql import MOMENT, Query
from whisperer.analytics.statement import Ask, Statement

Ints = NDArray[np.int64]

_STARTS, _RETURNS = 1, 2
_NEVER = np.iinfo(np.int64).max


def answer(question: Retention, now: int, ask: Ask) -> RetentionAnswer:
    """Return the answer to a question that was checked."""
    period = period_of(question, now)
    calendar = period.calendar()
    buckets = calendar.buckets(question.interval)
    n_buckets, n_periods = len(buckets), question.periods + 1
    sizes = np.zeros(n_buckets, np.int64)
    returned = np.zeros((n_buckets, n_periods), np.int64)
    for batch in ask(statement(question, period)):
        lists = batch.column(0)
        codes = lists.flatten().to_numpy(zero_copy_only=False)
        users = np.repeat(np.arange(len(lists)), np.diff(lists.offsets.to_numpy()))
        count(question.type, codes, users, sizes, returned)
    observed = [min(n_periods, n_buckets - at) for at in range(n_buckets)]
    return RetentionAnswer(
        as_of=iso(now),
        period=span_of(period),
        type=question.type,
        interval=question.interval,
        cohorts=[
            Cohort(
                start=calendar.label(bucket, question.interval),
                users=int(sizes[at]),
                returned=[int(returned[at, n]) if n < observed[at] else None for n in range(n_periods)],
            )
            for at, bucket in enumerate(buckets)
        ],
        total=_total(sizes, returned, observed),
    )


def statement(question: Retention, period: Period) -> Statement:
    """Return the query: one row a user, a list of 4 times the place of the bucket, plus what the user did in it.

    Buckets have places from 0 in the period; everything before the period has the place -1, and matters only to who
    began for the first time.
    """
    query = Query(period)
    calendar = period.calendar()
    first = calendar.bucket(period.since, question.interval)
    is_first_time = question.type != "recurring"
    starts, returns = query.selected(question.start), query.selected(question.return_)
    inside = query.within(period.since, period.until)
    wanted = [f"({inside} OR {starts})" if is_first_time else inside, f"e.timestamp < {query.moment(period.until)}"]
    names = {question.start.event, question.return_.event}
    if None not in names:
        wanted.append(f"e.event IN ({', '.join(query.bind(name) for name in sorted(map(str, names)))})")
    if question.where is not None:
        wanted.append(query.condition(question.where))
    bucket = f"{calendar.bucket_sql(MOMENT, question.interval)}::BIGINT - {first}"
    place = f"CASE WHEN {MOMENT} < {period.since} THEN -1 ELSE {bucket} END"
    did = f"CASE WHEN {starts} THEN {_STARTS} ELSE 0 END + CASE WHEN {returns} THEN {_RETURNS} ELSE 0 END"
    source = (
        f"SELECT {query.who()} AS who, ({place})::BIGINT AS place, ({did})::BIGINT AS did "
        f"{query.of_events()} WHERE {' AND '.join(wanted)}"
    )
    text = (
        f"{query.opening()}SELECT list(place * 4 + did) AS codes FROM ({source}) WHERE did > 0 "
        f"GROUP BY who HAVING bool_or((did & {_STARTS}) <> 0)"
    )
    return Statement(text, query, None if is_first_time else period.since, period.until)


def count(kind: str, codes: Ints, users: Ints, sizes: Ints, returned: Ints) -> None:
    """Add a batch's users to their cohorts (``sizes``) and to those who returned (cohort by period)."""
    if not len(codes):
        return
    n_buckets, n_periods = returned.shape
    places, did = codes >> 2, codes & 3
    began, came = (did & _STARTS) != 0, (did & _RETURNS) != 0
    if kind == "recurring":
        in_cohort = np.unique(users[began] * n_buckets + places[began])
        seen = np.unique(users[came] * n_buckets + places[came])
        cohorts = in_cohort % n_buckets
        sizes += np.bincount(cohorts, minlength=n_buckets)
        for n in range(min(n_periods, n_buckets)):
            later = cohorts + n < n_buckets
            back = _is_among(in_cohort[later] + n, seen)
            returned[:, n] += np.bincount(cohorts[later][back], minlength=n_buckets)
        return
    cohort_of = np.full(int(users[-1]) + 1, _NEVER)
    np.minimum.at(cohort_of, users[began], places[began])
    counted = (cohort_of >= 0) & (cohort_of < n_buckets)
    sizes += np.bincount(cohort_of[counted], minlength=n_buckets)
    is_back = came & counted[users] & (places >= cohort_of[users])
    who, after = users[is_back], places[is_back] - cohort_of[users[is_back]]
    if kind == "rolling":  # who came in a later period came "in this one or later"
        last = np.full(len(cohort_of), -1)
        np.maximum.at(last, who, after)
        who = np.flatnonzero(last >= 0)
        after = np.minimum(last[who], n_periods - 1)
        n_of_last = np.zeros_like(returned)
        np.add.at(n_of_last, (cohort_of[who], after), 1)
        returned += n_of_last[:, ::-1].cumsum(axis=1)[:, ::-1]
        return
    pairs = np.unique(who[after < n_periods] * n_periods + after[after < n_periods])
    np.add.at(returned, (cohort_of[pairs // n_periods], pairs % n_periods), 1)


def _is_among(wanted: Ints, ordered: Ints) -> NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[at] == wanted
    return found


def _total(sizes: Ints, returned: Ints, observed: list[int]) -> RetentionTotal:
    users, back = [], []
    for n in range(returned.shape[1]):
        old_enough = [at for at, most in enumerate(observed) if n < most]
        users.append(int(sizes[old_enough].sum()))
        back.append(int(returned[old_enough, n].sum()))
    shares = [part / whole if whole else None for part, whole in zip(back, users, strict=True)]
    return RetentionTotal(users=users, returned=back, shares=shares)
