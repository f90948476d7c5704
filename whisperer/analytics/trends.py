"""Answer trends: one query a series, which sums up by bucket and value of the breakdown; zeros are filled in here."""

from __future__ import annotations

from typing import Any

from whisperer.analytics.answers import Line, SeriesAnswer, TrendsAnswer, TrendsBefore, iso, shown, span_of
from whisperer.analytics.questions import NUMERIC, Period, Series, Trends, period_of
from whisperer.analytics.sql import MOMENT, Query
from whisperer.analytics.statement import Ask, Statement

_AGGREGATES = {
    "count": "count(*)",
    "users": "count(DISTINCT who)",
    "per_user": "count(*)::DOUBLE / nullif(count(DISTINCT who), 0)",
    "sum": "coalesce(fsum(num), 0)",
    "average": "fsum(num) / count(num)",
    "min": "min(num)",
    "max": "max(num)",
    "p50": "quantile_cont(num, 0.5)",
    "p90": "quantile_cont(num, 0.9)",
    "p95": "quantile_cont(num, 0.95)",
    "p99": "quantile_cont(num, 0.99)",
}
_ZERO = ("count", "users", "per_user", "sum")
"""Measures of which nothing is zero; of the others it is null."""


def answer(question: Trends, now: int, ask: Ask) -> TrendsAnswer:
    """Return the answer to a question that was checked."""
    period = period_of(question, now)
    found = _answer(question, period, now, ask)
    if question.compare:
        before = _answer(question, period.before(), now, ask)
        found.previous = TrendsBefore(period=before.period, buckets=before.buckets, series=before.series)
    return found


def statement(question: Trends, series: Series, period: Period) -> Statement:
    """Return the query of a series: rows of bucket (null: all), place of the value, its JSON text, and the number."""
    query = Query(period)
    bucket = period.calendar().bucket_sql(MOMENT, question.interval)
    columns = {"bucket": bucket}
    if series.measure in ("users", "per_user"):
        columns["who"] = query.who()
    if series.measure in NUMERIC:
        assert series.property is not None
        columns["num"] = query.number(series.property)
    if question.breakdown is not None:
        columns["label"] = query.label(question.breakdown)
    wanted = [query.within(period.since, period.until), query.selected(series)]
    if question.where is not None:
        wanted.append(query.condition(question.where))
    selected = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    source = f"SELECT {selected} {query.of_events()} WHERE {' AND '.join(wanted)}"
    aggregate = _AGGREGATES[series.measure]
    opening = query.opening()
    if question.breakdown is None:
        text = (
            f"{opening}SELECT bucket, 1::BIGINT AS place, NULL::VARCHAR AS label, {aggregate}::DOUBLE AS number "
            f"FROM ({source}) GROUP BY GROUPING SETS ((bucket), ())"
        )
        return Statement(text, query, period.since, period.until)
    size = "count(*)"
    if series.measure == "count":
        source = f"SELECT bucket, label, count(*) AS n FROM ({source}) GROUP BY ALL"
        size = aggregate = "sum(n)"
    others = question.breakdown.limit + 1
    before = f"{opening}, " if opening else "WITH "
    text = f"""{before} drawn AS MATERIALIZED ({source}), ranked AS (
            SELECT label, row_number() OVER (ORDER BY {size} DESC, label NULLS LAST) AS place FROM drawn GROUP BY label
        ), placed AS (
            SELECT drawn.* EXCLUDE (label), least(place, {others}) AS place,
                   CASE WHEN place < {others} THEN drawn.label END AS label
            FROM drawn JOIN ranked ON ranked.label IS NOT DISTINCT FROM drawn.label
        )
        SELECT bucket, place, label, ({aggregate})::DOUBLE AS number
        FROM placed GROUP BY GROUPING SETS ((bucket, place, label), (place, label))"""
    return Statement(text, query, period.since, period.until)


def _answer(question: Trends, period: Period, now: int, ask: Ask) -> TrendsAnswer:
    calendar = period.calendar()
    buckets = calendar.buckets(question.interval)
    return TrendsAnswer(
        as_of=iso(now),
        period=span_of(period),
        interval=question.interval,
        buckets=[calendar.label(bucket, question.interval) for bucket in buckets],
        series=[_series(question, series, period, buckets, ask) for series in question.series],
    )


def _series(question: Trends, series: Series, period: Period, buckets: list[int], ask: Ask) -> SeriesAnswer:
    nothing = 0 if series.measure in _ZERO else None
    places = {bucket: at for at, bucket in enumerate(buckets)}
    others = None if question.breakdown is None else question.breakdown.limit + 1
    lines: dict[int, Line] = {}
    for batch in ask(statement(question, series, period)):
        for bucket, place, label, number in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if place not in lines:
                empty: list[Any] = [nothing] * len(buckets)
                lines[place] = Line(value=shown(label), is_other=place == others, total=nothing, values=empty)
            value = nothing if number is None else _number(series.measure, number)
            if bucket is None:
                lines[place].total = value
            else:
                lines[place].values[places[bucket]] = value
    if not lines and others is None:
        lines[1] = Line(total=nothing, values=[nothing] * len(buckets))
    return SeriesAnswer(
        event=series.event,
        measure=series.measure,
        property=series.property,
        lines=[lines[place] for place in sorted(lines)],
    )


def _number(measure: str, number: float) -> float | int:
    return round(number) if measure in ("count", "users") else number
